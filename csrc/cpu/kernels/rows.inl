// Work on rows and columns: sums over columns, activation on its own, layer norm, cross-entropy.
#pragma once

namespace laim::LAIM_ISA {

// Sum of term(j, n) over [0, count), in blocks: the rounding error of one long chain would grow with its length. term
// must be zero in the lanes beyond n.
template <class V, class Term>
LAIM_INLINE V blocked_sum(int64_t count, const Term& term) {
  constexpr int64_t block = 16 * V::width;
  V total = V::zero();
  for (int64_t start = 0; start < count; start += block) {
    V part = V::zero();
    each_vector<V>(min(block, count - start), [&](int64_t j, int64_t n) { part = part + term(start + j, n); });
    total = total + part;
  }
  return total;
}

// v in the first n lanes, zero beyond.
template <class T>
LAIM_INLINE Vec<T> first_lanes_of(Vec<T> v, int64_t n) {
  if (n == Vec<T>::width) return v;
  T lanes[Vec<T>::width] = {};
  v.store(lanes, n);
  return Vec<T>::load(lanes);
}

// Rows are handled in groups, so that their number does not depend on the threads.
constexpr int64_t rows_per_task = 32;

template <class S>
void activation(const ActivationArgs<S>& args, const Parallel& parallel) {
  using V = Vec<Compute<S>>;
  constexpr int64_t chunk = 16384;
  parallel.for_each(ceil_div(args.count, chunk), [&](int64_t task) {
    const int64_t start = task * chunk;
    with_activation(args.activation, [&](auto kind) {
      each_vector<V>(min(chunk, args.count - start), [&](int64_t j, int64_t n) {
        j += start;
        const auto f = activate<decltype(kind)::value, Compute<S>>(load<V>(args.pre + j, n));
        store(f.value, args.activated + j, n);
        if (args.gradient) store(load<V>(args.gradient + j, n) * f.slope, args.out + j, n);
      });
    });
  });
}

template <class S>
void column_sum(const ColumnSumArgs<S>& args, const Parallel& parallel) {
  using V = Vec<Compute<S>>;
  constexpr int64_t columns = 4 * V::width;  // one task: a band of columns, summed in blocks of rows
  constexpr int64_t block = 64;
  parallel.for_each(ceil_div(args.columns, columns), [&](int64_t task) {
    each_vector<V>(min(columns, args.columns - task * columns), [&](int64_t j, int64_t n) {
      j += task * columns;
      V total = args.accumulate ? load<V>(args.out + j, n) : V::zero();
      for (int64_t i0 = 0; i0 < args.rows; i0 += block) {
        V part = V::zero();
        for (int64_t i = i0; i < min(i0 + block, args.rows); ++i) part = part + load<V>(args.in.at(i, 0) + j, n);
        total = total + part;
      }
      store(total, args.out + j, n);
    });
  });
}

template <class S>
void layer_norm(const LayerNormArgs<S>& args, const Parallel& parallel) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t columns = args.columns;
  parallel.for_each(ceil_div(args.rows, rows_per_task), [&](int64_t task) {
    const int64_t last = min((task + 1) * rows_per_task, args.rows);
    for (int64_t i = task * rows_per_task; i < last; ++i) {
      const S* x = args.x + i * columns;
      if (args.residual) {  // the sum is rounded to the storage type first: it is what the backward will see
        const S* residual = args.residual + i * columns;
        S* sum = args.sum + i * columns;
        each_vector<V>(columns,
                       [&](int64_t j, int64_t n) { store(load<V>(x + j, n) + load<V>(residual + j, n), sum + j, n); });
        x = sum;
      }
      const V total = blocked_sum<V>(columns, [&](int64_t j, int64_t n) { return load<V>(x + j, n); });
      const T mean = total.sum() / T(columns);
      const V squares = blocked_sum<V>(columns, [&](int64_t j, int64_t n) {
        const V d = first_lanes_of<T>(load<V>(x + j, n) - V::all(mean), n);
        return d * d;
      });
      const T variance = squares.sum() / T(columns);
      const T rstd = T(1) / T(__builtin_sqrt(variance + T(args.eps)));
      S* out = args.out + i * columns;
      each_vector<V>(columns, [&](int64_t j, int64_t n) {
        V y = (load<V>(x + j, n) - V::all(mean)) * V::all(rstd);
        if (args.weight) y = y * load<V>(args.weight + j, n);
        if (args.bias) y = y + load<V>(args.bias + j, n);
        store(y, out + j, n);
      });
      args.mean[i] = mean;
      args.rstd[i] = rstd;
    }
  });
}

// dx = rstd (g w - mean(g w) - xhat mean(g w xhat)); dweight = sum over rows of g xhat; dbias = sum of g.
// The sums over rows go through one partial sum per group of rows, added in order at the end.
template <class S>
void layer_norm_backward(const LayerNormBackwardArgs<S>& args, const Parallel& parallel) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t columns = args.columns;
  const int64_t group = max(rows_per_task, ceil_div(args.rows, 64));
  const int64_t groups = ceil_div(args.rows, group);
  T* partial = scratch_of<T>(Slot::rows, 2 * groups * columns + 2);
  parallel.for_each(groups, [&](int64_t task) {
    T* dweight = partial + 2 * task * columns;
    T* dbias = dweight + columns;
    for (int64_t j = 0; j < 2 * columns; ++j) dweight[j] = T(0);
    for (int64_t i = task * group; i < min((task + 1) * group, args.rows); ++i) {
      const S* gradient = args.gradient + i * columns;
      const S* x = args.sum + i * columns;
      const V mean = V::all(args.mean[i]), rstd = V::all(args.rstd[i]);
      V sum_g = V::zero(), sum_gx = V::zero();
      each_vector<V>(columns, [&](int64_t j, int64_t n) {
        const V g = load<V>(gradient + j, n);
        const V normed = (load<V>(x + j, n) - mean) * rstd;
        store(V::fma(g, normed, load<V>(dweight + j, n)), dweight + j, n);
        store(load<V>(dbias + j, n) + g, dbias + j, n);
        const V gw = args.weight ? g * load<V>(args.weight + j, n) : g;
        sum_g = sum_g + gw;
        sum_gx = V::fma(gw, normed, sum_gx);
      });
      const V mean_g = V::all(sum_g.sum() / T(columns)), mean_gx = V::all(sum_gx.sum() / T(columns));
      each_vector<V>(columns, [&](int64_t j, int64_t n) {
        const V g = load<V>(gradient + j, n);
        const V normed = (load<V>(x + j, n) - mean) * rstd;
        const V gw = args.weight ? g * load<V>(args.weight + j, n) : g;
        V dx = (gw - mean_g - normed * mean_gx) * rstd;
        if (args.gradient_sum) dx = dx + load<V>(args.gradient_sum + i * columns + j, n);
        store(dx, args.gradient_x + i * columns + j, n);
      });
    }
  });
  each_vector<V>(columns, [&](int64_t j, int64_t n) {
    V weight = V::zero(), bias = V::zero();
    for (int64_t task = 0; task < groups; ++task) {
      weight = weight + load<V>(partial + 2 * task * columns + j, n);
      bias = bias + load<V>(partial + (2 * task + 1) * columns + j, n);
    }
    if (args.gradient_weight) store(weight, args.gradient_weight + j, n);
    if (args.gradient_bias) store(bias, args.gradient_bias + j, n);
  });
}

template <class S>
void cross_entropy(const CrossEntropyArgs<S>& args, const Parallel& parallel) {
  using T = Compute<S>;
  using V = Vec<T>;
  constexpr int64_t rows = 4;
  parallel.for_each(ceil_div(args.rows, rows), [&](int64_t task) {
    for (int64_t i = task * rows; i < min((task + 1) * rows, args.rows); ++i) {
      S* logits = args.logits + i * args.columns;
      const int64_t target = args.target[i];
      if (target == args.ignore_index) {
        args.loss[i] = T(0);
        if (args.scale) each_vector<V>(args.columns, [&](int64_t j, int64_t n) { store(V::zero(), logits + j, n); });
        continue;
      }
      const V lowest = V::all(T(-__builtin_inf()));
      V top = lowest;
      int64_t j = 0;
      for (; j + V::width <= args.columns; j += V::width) top = V::max(top, V::load(logits + j));
      T largest = top.maximum();
      for (; j < args.columns; ++j) largest = max(largest, element<T>(logits + j));
      const T at_target = element<T>(logits + target);
      const V total = blocked_sum<V>(args.columns, [&](int64_t column, int64_t n) {
        return first_lanes_of<T>(exp(load<V>(logits + column, n) - V::all(largest)), n);
      });
      const T sum = total.sum();
      const T lse = largest + T(__builtin_log(sum));
      args.loss[i] = lse - at_target;
      if (!args.scale) continue;
      const V scale = V::all(args.scale[i] / sum);
      each_vector<V>(args.columns, [&](int64_t column, int64_t n) {
        store(exp(load<V>(logits + column, n) - V::all(largest)) * scale, logits + column, n);
      });
      // the target's own: recomputed in full precision, not read back from a rounded store
      const T own = T(__builtin_exp(double(at_target - largest))) / sum;
      const T gradient = (own - T(1)) * args.scale[i];
      if constexpr (sizeof(S) == 2)
        logits[target] = to_bf16(gradient);
      else
        logits[target] = gradient;
    }
  });
}

}  // namespace laim::LAIM_ISA
