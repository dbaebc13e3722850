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

// Into the second-level cache, for the next row: each row is a stream too short for the CPU to see it coming.
template <class S>
LAIM_INLINE void prefetch(const S* at) {
  __builtin_prefetch(at, 0, 2);
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

// One row after the other, in the order in which they lie in memory: several at once hide more latency in the cache but
// read as many streams, which costs more than it gains where rows come from memory.
template <bool centred, class S>
LAIM_INLINE void norm_backward_row(const NormBackwardArgs<S>& args, int64_t i, Compute<S>* dweight, Compute<S>* dbias) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t columns = args.columns;
  const S *x = args.sum + i * columns, *gradient = args.gradient + i * columns, *weight = args.weight;
  const S* gradient_sum = args.gradient_sum ? args.gradient_sum + i * columns : nullptr;
  S* gradient_x = args.gradient_x + i * columns;
  const int64_t next = i + 1 < args.rows ? columns : 0;
  const V mean = centred ? V::all(args.mean[i]) : V::zero(), rstd = V::all(args.rstd[i]);
  const auto weighted = [&](V g, int64_t j, int64_t n) { return weight ? g * load<V>(weight + j, n) : g; };
  const auto sums = blocked_sum<V, Several<V, 2>, 2>(columns, [&](auto& part, int64_t j, int64_t n) {
    const V gw = weighted(load<V>(gradient + j, n), j, n);
    if constexpr (centred) part.sum[0] = part.sum[0] + gw;
    part.sum[1] = V::fma(gw, normed<centred>(load<V>(x + j, n), mean, rstd), part.sum[1]);
  });
  const V mean_g = V::all(sums.sum[0].sum() / T(columns)), mean_gx = V::all(sums.sum[1].sum() / T(columns));
  each_vector<V>(columns, [&](int64_t j, int64_t n) {
    const V g = load<V>(gradient + j, n), xhat = normed<centred>(load<V>(x + j, n), mean, rstd);
    prefetch(gradient + next + j), prefetch(x + next + j);
    store(V::fma(g, xhat, load<V>(dweight + j, n)), dweight + j, n);
    if constexpr (centred) store(load<V>(dbias + j, n) + g, dbias + j, n);
    V dx = weighted(g, j, n);
    if constexpr (centred) dx = dx - mean_g;
    dx = V::fnma(xhat, mean_gx, dx) * rstd;
    if (gradient_sum) dx = dx + load<V>(gradient_sum + j, n);
    store(dx, gradient_x + j, n);
  });
}

// The sums over rows go through one partial sum per group of rows, added in order at the end: their number depends on
// the rows alone, never on the threads.
template <bool centred, class S>
void norm_backward_tasks(const NormBackwardArgs<S>& args, const Parallel& parallel) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t columns = args.columns;
  const int64_t group = max<int64_t>(32, ceil_div(args.rows, 64));
  const int64_t groups = ceil_div(args.rows, group);
  T* partial = scratch_of<T>(Slot::rows, 2 * groups * columns + 2);
  parallel.for_each(groups, [&](int64_t task) {
    const NormBackwardArgs<S> own = args;
    T* dweight = partial + 2 * task * columns;
    T* dbias = dweight + columns;
    for (int64_t j = 0; j < 2 * columns; ++j) dweight[j] = T(0);
    const int64_t end = min((task + 1) * group, own.rows);
    for (int64_t i = task * group; i < end; ++i) norm_backward_row<centred>(own, i, dweight, dbias);
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
