// Work on rows and columns: sums of each, cross-entropy.
#pragma once

namespace laim::LAIM_ISA {

// Several sums that are made together.
template <class V, int count>
struct Several {
  V sum[count];

  static LAIM_INLINE Several zero() {
    Several s;
    for (V& each : s.sum) each = V::zero();
    return s;
  }
  friend LAIM_INLINE Several operator+(const Several& a, const Several& b) {
    Several s;
    for (int i = 0; i < count; ++i) s.sum[i] = a.sum[i] + b.sum[i];
    return s;
  }
};

// A sum over [0, count): add(part, j, n) adds the n elements from j on to part, nothing in the lanes beyond n. Summed
// in blocks, for the rounding error of one long chain would grow with its length, and a block in `chains` independent
// parts, for one chain would wait for each addition to finish.
template <class V, class Sum = V, int chains = 4, class Add>
LAIM_INLINE Sum blocked_sum(int64_t count, const Add& add) {
  constexpr int64_t block = 16 * V::width, step = chains * V::width;
  static_assert((chains & (chains - 1)) == 0 && block % step == 0, "a power of two that divides the block");
  Sum total = Sum::zero();
  int64_t start = 0;
  for (; start + block <= count; start += block) {
    Sum part[chains];
#pragma GCC unroll 4
    for (int c = 0; c < chains; ++c) part[c] = Sum::zero();
    for (int64_t j = start; j < start + block; j += step)
#pragma GCC unroll 4
      for (int c = 0; c < chains; ++c) add(part[c], j + c * V::width, int64_t(V::width));
#pragma GCC unroll 4
    for (int half = chains / 2; half > 0; half /= 2)
#pragma GCC unroll 4
      for (int c = 0; c < half; ++c) part[c] = part[c] + part[c + half];
    total = total + part[0];
  }
  Sum rest = Sum::zero();
  each_vector<V>(count - start, [&](int64_t j, int64_t n) { add(rest, start + j, n); });
  return total + rest;
}

// v in the first n lanes, zero beyond.
template <class T>
LAIM_INLINE Vec<T> first_lanes_of(Vec<T> v, int64_t n) {
  if (n == Vec<T>::width) return v;
  T lanes[Vec<T>::width] = {};
  v.store(lanes, n);
  return Vec<T>::load(lanes);
}

template <class S>
void column_sum(const ColumnSumArgs<S>& args, const Parallel& parallel) {
  using V = Vec<Compute<S>>;
  constexpr int64_t block = 64;
  // one task: a band of columns, the wider the fewer rows, summed in blocks of rows
  const int64_t columns = 4 * V::width * clamp(block / max<int64_t>(args.rows, 1), 1, block);
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
      const V total = blocked_sum<V>(args.columns, [&](V& part, int64_t column, int64_t n) {
        part = part + first_lanes_of<T>(exp(load<V>(logits + column, n) - V::all(largest)), n);
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
