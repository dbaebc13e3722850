// Dot products of rows that lie in memory along what is summed.
#pragma once

namespace laim::LAIM_ISA {

// sums[i] = sum of the lanes of v[i]
template <int count, class V, class T>
LAIM_INLINE void sums_of_lanes(const V (&v)[count], T* sums) {
  if constexpr (sizeof(T) == 4 && count % V::width == 0) {
    for (int first = 0; first < count; first += V::width) {
      V square[V::width];
#pragma GCC unroll 16
      for (int i = 0; i < V::width; ++i) square[i] = v[first + i];
      transpose(square);
#pragma GCC unroll 16
      for (int apart = 1; apart < V::width; apart *= 2)
#pragma GCC unroll 16
        for (int i = 0; i < V::width; i += 2 * apart) square[i] = square[i] + square[i + apart];
      square[0].store(sums + first);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < count; ++i) sums[i] = v[i].sum();
  }
}

// dots[i * columns + c] = sum of a[i][k] b[c][k] over k < depth. Every lane has a chain of additions of its own, so
// that they round less than the micro-kernel's sums.
template <int rows, int columns, class S>
LAIM_INLINE void dot_products(const S* const (&a)[rows], const S* const (&b)[columns], int64_t depth,
                              Compute<S>* dots) {
  using V = Vec<Compute<S>>;
  using W = Vec<Operand<S>>;
  constexpr int64_t numbers = span<Operand<S>>;  // of an operand
  V sum[rows * columns];
#pragma GCC unroll 16
  for (int i = 0; i < rows * columns; ++i) sum[i] = V::zero();
  each_vector<W>(depth / numbers, [&](int64_t k, int64_t n) {
    W column[columns];
#pragma GCC unroll 4
    for (int c = 0; c < columns; ++c) column[c] = load<W>(b[c] + k * numbers, n);
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) {
      const W x = load<W>(a[i] + k * numbers, n);
#pragma GCC unroll 4
      for (int c = 0; c < columns; ++c) sum[i * columns + c] = W::fma(x, column[c], sum[i * columns + c]);
    }
  });
  sums_of_lanes(sum, dots);
  if (const int64_t whole = depth / numbers * numbers; whole < depth)
    for (int i = 0; i < rows; ++i)
      for (int c = 0; c < columns; ++c)
        dots[i * columns + c] += element<Compute<S>>(a[i] + whole) * element<Compute<S>>(b[c] + whole);
}

}  // namespace laim::LAIM_ISA
