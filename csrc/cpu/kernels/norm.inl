// Layer norm and RMS norm of rows. What they share is one piece of code; `centred` is what sets them apart:
//
//   layer norm  xhat = (x - mean) rstd, rstd = 1 / sqrt(variance + eps)     (Ba et al. 2016)
//   RMS norm    xhat = x rstd,          rstd = 1 / sqrt(mean(x^2) + eps)    (Zhang & Sennrich 2019)
//
// and out = xhat weight + bias. With g the gradient of out,
//
//   dx = rstd (g w - mean(g w) - xhat mean(g w xhat)), RMS norm without mean(g w)
//   dweight = sum over rows of g xhat, dbias = sum over rows of g.
#pragma once

namespace laim::LAIM_ISA {

// The mean's own rounding error is taken out by the mean of what is left (Chan et al. 1983): a constant row becomes
// exactly zeros, and the variance of a row far from zero is as good as that of the row moved to zero.
template <bool centred, class S>
LAIM_INLINE void statistics(const S* x, int64_t columns, double eps, Compute<S>& mean, Compute<S>& rstd) {
  using T = Compute<S>;
  using V = Vec<T>;
  T variance;
  if constexpr (centred) {
    const V total = blocked_sum<V>(columns, [&](V& part, int64_t j, int64_t n) { part = part + load<V>(x + j, n); });
    const T rough = total.sum() / T(columns);
    const auto moments = blocked_sum<V, Several<V, 2>>(columns, [&](auto& part, int64_t j, int64_t n) {
      const V d = first_lanes_of<T>(load<V>(x + j, n) - V::all(rough), n);
      part.sum[0] = part.sum[0] + d;
      part.sum[1] = V::fma(d, d, part.sum[1]);
    });
    const T off = moments.sum[0].sum() / T(columns);
    mean = rough + off;
    variance = max(moments.sum[1].sum() / T(columns) - off * off, T(0));  // in this order: NaN stays NaN
  } else {
    const V squares = blocked_sum<V>(columns, [&](V& part, int64_t j, int64_t n) {
      const V v = load<V>(x + j, n);
      part = V::fma(v, v, part);
    });
    variance = squares.sum() / T(columns);
  }
  rstd = T(1 / __builtin_sqrt(double(variance) + eps));
}

template <bool centred, class V>
LAIM_INLINE V normed(V x, V mean, V rstd) {
  return centred ? (x - mean) * rstd : x * rstd;
}

template <bool centred, class S>
LAIM_INLINE void norm_row(const NormArgs<S>& args, int64_t i) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t columns = args.columns;
  const S *x = args.x + i * columns, *weight = args.weight, *bias = args.bias;
  S* out = args.out + i * columns;
  if (args.residual) {  // the sum is rounded to the storage type first: it is what the backward will see
    const S* residual = args.residual + i * columns;
    S* sum = args.sum + i * columns;
    each_vector<V>(columns,
                   [&](int64_t j, int64_t n) { store(load<V>(x + j, n) + load<V>(residual + j, n), sum + j, n); });
    x = sum;
  }
  T mean = 0, rstd;
  statistics<centred>(x, columns, args.eps, mean, rstd);
  const V m = V::all(mean), r = V::all(rstd);
  each_vector<V>(columns, [&](int64_t j, int64_t n) {
    V y = normed<centred>(load<V>(x + j, n), m, r);
    if (weight) y = y * load<V>(weight + j, n);
    if (bias) y = y + load<V>(bias + j, n);
    store(y, out + j, n);
  });
  if constexpr (centred) args.mean[i] = mean;
  args.rstd[i] = rstd;
}

template <class S>
void norm(const NormArgs<S>& args, const Parallel& parallel) {
  constexpr int64_t rows = 32;  // per task
  parallel.for_each(ceil_div(args.rows, rows), [&](int64_t task) {
    const NormArgs<S> own = args;  // on the stack, where no store can be taken for a change of it
    for (int64_t i = task * rows; i < min((task + 1) * rows, own.rows); ++i)
      own.mean ? norm_row<true>(own, i) : norm_row<false>(own, i);
  });
}

// Gradients of `count` rows at once: the sums over columns of one row would wait for each other, and dweight and dbias
// are read and written once for all of them.
template <bool centred, int count, class S>
LAIM_INLINE void norm_backward_rows(const NormBackwardArgs<S>& args, int64_t i, Compute<S>* dweight,
                                    Compute<S>* dbias) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t columns = args.columns;
  const S *x = args.sum + i * columns, *gradient = args.gradient + i * columns, *weight = args.weight;
  const S* gradient_sum = args.gradient_sum ? args.gradient_sum + i * columns : nullptr;
  S* gradient_x = args.gradient_x + i * columns;
  V mean[count], rstd[count], mean_g[count], mean_gx[count];
#pragma GCC unroll 4
  for (int r = 0; r < count; ++r) {
    mean[r] = centred ? V::all(args.mean[i + r]) : V::zero();
    rstd[r] = V::all(args.rstd[i + r]);
  }
  const auto sums = blocked_sum<V, Several<V, 2 * count>, 1>(columns, [&](auto& part, int64_t j, int64_t n) {
    const V w = weight ? load<V>(weight + j, n) : V::all(T(1));
#pragma GCC unroll 4
    for (int r = 0; r < count; ++r) {
      const V gw = load<V>(gradient + r * columns + j, n) * w;
      if constexpr (centred) part.sum[r] = part.sum[r] + gw;
      const V xhat = normed<centred>(load<V>(x + r * columns + j, n), mean[r], rstd[r]);
      part.sum[count + r] = V::fma(gw, xhat, part.sum[count + r]);
    }
  });
#pragma GCC unroll 4
  for (int r = 0; r < count; ++r) {
    mean_g[r] = V::all(sums.sum[r].sum() / T(columns));
    mean_gx[r] = V::all(sums.sum[count + r].sum() / T(columns));
  }
  each_vector<V>(columns, [&](int64_t j, int64_t n) {
    const V w = weight ? load<V>(weight + j, n) : V::all(T(1));
    V dw = load<V>(dweight + j, n), db = centred ? load<V>(dbias + j, n) : V::zero();
#pragma GCC unroll 4
    for (int r = 0; r < count; ++r) {
      const int64_t at = r * columns + j;
      const V g = load<V>(gradient + at, n);
      const V xhat = normed<centred>(load<V>(x + at, n), mean[r], rstd[r]);
      dw = V::fma(g, xhat, dw);
      if constexpr (centred) db = db + g;
      const V gw = centred ? V::fma(g, w, V::zero() - mean_g[r]) : g * w;
      V dx = V::fnma(xhat, mean_gx[r], gw) * rstd[r];
      if (gradient_sum) dx = dx + load<V>(gradient_sum + at, n);
      store(dx, gradient_x + at, n);
    }
    store(dw, dweight + j, n);
    if constexpr (centred) store(db, dbias + j, n);
  });
}

// The sums over rows go through one partial sum per group of rows, added in order at the end: their number depends on
// the rows alone, never on the threads.
template <bool centred, class S>
void norm_backward_tasks(const NormBackwardArgs<S>& args, const Parallel& parallel) {
  using T = Compute<S>;
  using V = Vec<T>;
  constexpr int together = 4;
  const int64_t columns = args.columns;
  const int64_t group = round_up(max<int64_t>(32, ceil_div(args.rows, 64)), together);
  const int64_t groups = ceil_div(args.rows, group);
  T* partial = scratch_of<T>(Slot::rows, 2 * groups * columns + 2);
  parallel.for_each(groups, [&](int64_t task) {
    const NormBackwardArgs<S> own = args;
    T* dweight = partial + 2 * task * columns;
    T* dbias = dweight + columns;
    for (int64_t j = 0; j < 2 * columns; ++j) dweight[j] = T(0);
    const int64_t end = min((task + 1) * group, own.rows);
    int64_t i = task * group;
    for (; i + together <= end; i += together) norm_backward_rows<centred, together>(own, i, dweight, dbias);
    for (; i < end; ++i) norm_backward_rows<centred, 1>(own, i, dweight, dbias);
  });
  constexpr int64_t band = 512;
  parallel.for_each(ceil_div(columns, band), [&](int64_t task) {
    const int64_t start = task * band;
    each_vector<V>(min(band, columns - start), [&](int64_t j, int64_t n) {
      V weight = V::zero(), bias = V::zero();
      for (int64_t g = 0; g < groups; ++g) {
        weight = weight + load<V>(partial + 2 * g * columns + start + j, n);
        bias = bias + load<V>(partial + (2 * g + 1) * columns + start + j, n);
      }
      if (args.gradient_weight) store(weight, args.gradient_weight + start + j, n);
      if (args.gradient_bias) store(bias, args.gradient_bias + start + j, n);
    });
  });
}

template <class S>
void norm_backward(const NormBackwardArgs<S>& args, const Parallel& parallel) {
  args.mean ? norm_backward_tasks<true>(args, parallel) : norm_backward_tasks<false>(args, parallel);
}

}  // namespace laim::LAIM_ISA
