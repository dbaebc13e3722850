// Loads and stores with ragged ends, and the micro-kernel that all matrix work rests on: a tile of rows x (vectors *
// width) sums in registers, one broadcast of A and one row of B per step of k.
//
// What is packed for it are operands: numbers of the compute type, or, where the policy has a dot product of pairs
// (LAIM_PAIRS) and the storage type is bf16, pairs of neighbouring steps of k. An odd last step is paired with a zero.
#pragma once

namespace laim::LAIM_ISA {

// Call body(j, n) over [0, count) in steps of one vector; n < width at the ragged end.
template <class V, class Body>
LAIM_INLINE void each_vector(int64_t count, const Body& body) {
  int64_t j = 0;
  for (; j + V::width <= count; j += V::width) body(j, int64_t(V::width));
  if (j < count) body(j, count - j);
}

// Full vectors are loaded and stored without a mask.
template <class V, class S>
LAIM_INLINE V load(const S* p, int64_t n) {
  return n == V::width ? V::load(p) : V::load(p, n);
}
template <class V, class S>
LAIM_INLINE void store(V v, S* p, int64_t n) {
  if (n == V::width)
    v.store(p);
  else
    v.store(p, n);
}

// What a storage type is packed as.
template <class S>
struct Packed {
  using type = Compute<S>;
};
#ifdef LAIM_PAIRS
template <>
struct Packed<bf16> {
  using type = bf16x2;
};
#endif
template <class S>
using Operand = typename Packed<S>::type;

template <class T, int rows, int vectors>
struct Sums {
  using V = Vec<T>;
  V sum[rows][vectors];

  LAIM_INLINE void clear() {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sum[i][j] = V::zero();
  }

  LAIM_INLINE void add(const Sums& other) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sum[i][j] = sum[i][j] + other.sum[i][j];
  }

  LAIM_INLINE void scale(T factor) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sum[i][j] = sum[i][j] * V::all(factor);
  }

  // sum += A B over k in [0, steps) operands; A's (i, k) at a[i * a_row + k * a_step], B's row k at b + k * b_step.
  // a_row is a compile-time constant, so that all rows share one address register.
  template <int a_row, class O>
  LAIM_INLINE void multiply(int64_t steps, const O* a, int64_t a_step, const O* b, int64_t b_step) {
    using W = Vec<O>;
    for (int64_t k = 0; k < steps; ++k) {
      W row[vectors];
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) row[j] = W::load(b + j * W::width);
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i) {
        const W x = W::all(a[i * a_row]);
#pragma GCC unroll 8
        for (int j = 0; j < vectors; ++j) sum[i][j] = W::fma(x, row[j], sum[i][j]);
      }
      a += a_step;
      b += b_step;
    }
  }

  LAIM_INLINE void load(const T* c, int64_t stride) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sum[i][j] = V::load(c + i * stride + j * V::width);
  }

  LAIM_INLINE void store(T* c, int64_t stride) const {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sum[i][j].store(c + i * stride + j * V::width);
  }
};

// C (rows, columns) += A B for a block whose C has room for whole tiles. columns is a multiple of the vector width.
// Calls range(row) -> Interval for the part of k that matters to the tile of rows starting there; what its ends cut of
// a pair must be zero in A or in B.
template <class T, int a_row, class O, class Range>
LAIM_INLINE void multiply_block(int64_t rows, int64_t columns, const O* a, int64_t a_tile, int64_t a_step, const O* b,
                                int64_t b_step, T* c, int64_t c_stride, const Range& range) {
  constexpr int wide = Tile::vectors * Vec<T>::width;
  for (int64_t i = 0; i < rows; i += Tile::rows) {
    const Interval wanted = range(i);
    if (wanted.end <= wanted.begin) continue;
    const Interval k = {wanted.begin / span<O>, ceil_div(wanted.end, span<O>)};
    const O* a_first = a + i / Tile::rows * a_tile + k.begin * a_step;
    T* c_row = c + i * c_stride;
    int64_t j = 0;
    for (; j + wide <= columns; j += wide) {
      Sums<T, Tile::rows, Tile::vectors> tile;
      tile.load(c_row + j, c_stride);
      tile.template multiply<a_row>(k.end - k.begin, a_first, a_step, b + k.begin * b_step + j, b_step);
      tile.store(c_row + j, c_stride);
    }
    for (; j < columns; j += Vec<T>::width) {
      Sums<T, Tile::rows, 1> tile;
      tile.load(c_row + j, c_stride);
      tile.template multiply<a_row>(k.end - k.begin, a_first, a_step, b + k.begin * b_step + j, b_step);
      tile.store(c_row + j, c_stride);
    }
  }
}

// The element in the type it is computed in.
template <class T, class S>
LAIM_INLINE T element(const S* at) {
  if constexpr (sizeof(S) == 2)
    return to_float(*at);
  else
    return *at;
}

// Operand k of row i of a matrix with `depth` columns.
template <class O, class S>
LAIM_INLINE O operand(Matrix<const S> src, int64_t i, int64_t k, int64_t depth) {
  if constexpr (span<O> == 1)
    return element<O>(src.at(i, k));
  else
    return pair_of(*src.at(i, 2 * k), 2 * k + 1 < depth ? *src.at(i, 2 * k + 1) : S{0});
}

// Operand k of n neighbouring columns of a matrix with `depth` rows, whose columns are side by side in memory.
template <class O, class S>
LAIM_INLINE Vec<O> side_by_side(Matrix<const S> src, int64_t k, int64_t column, int64_t depth, int64_t n) {
  if constexpr (span<O> == 1)
    return load<Vec<O>>(src.at(k, column), n);
  else
    return Vec<O>::interleave(src.at(2 * k, column), 2 * k + 1 < depth ? src.at(2 * k + 1, column) : nullptr, n);
}

// dst[k * width + i] = operand k of row i, zero from row `rows` to width: the order in which a micro-kernel reads.
template <class O, class S>
LAIM_INLINE void pack_panel(O* dst, int width, Matrix<const S> src, int64_t rows, int64_t depth) {
  using V = Vec<O>;
  const int64_t steps = ceil_div(depth, span<O>), whole = depth / span<O>;
  if (src.row_stride == 1 && rows == width) {  // already side by side
    const Matrix<const S> columns = {src.data, src.column_stride, 1};
    for (int64_t k = 0; k < steps; ++k)
      each_vector<V>(width, [&](int64_t i, int64_t n) {
        store(side_by_side<O>(columns, k, i, depth, n), dst + k * width + i, n);
      });
    return;
  }
  int64_t done = 0;
  if constexpr (sizeof(O) == 4) {
    if (src.column_stride == 1) {  // a square of vectors at a time
      for (int64_t i0 = 0; i0 < width; i0 += V::width) {
        const int64_t lanes = min<int64_t>(V::width, width - i0);
        each_vector<V>(whole, [&](int64_t k, int64_t n) {
          V square[V::width];
#pragma GCC unroll 16
          for (int i = 0; i < V::width; ++i)
            square[i] = i0 + i < rows ? load<V>(src.at(i0 + i, k * span<O>), n) : V::zero();
          transpose(square);
#pragma GCC unroll 16
          for (int j = 0; j < V::width; ++j)
            if (j < n) store(square[j], dst + (k + j) * width + i0, lanes);
        });
      }
      done = whole;
    }
  }
  for (int64_t i = 0; i < width; ++i)
    for (int64_t k = done; k < steps; ++k) dst[k * width + i] = i < rows ? operand<O>(src, i, k, depth) : O{};
}

}  // namespace laim::LAIM_ISA
