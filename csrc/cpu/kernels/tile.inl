// Loads and stores with ragged ends, and the micro-kernel that all matrix work rests on: a tile of rows x (vectors *
// width) sums in registers, one broadcast of A and one row of B per step of k.
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

  // sum += A B over k in [0, steps); A's element (i, k) at a[i * a_row + k * a_step], B's row k at b + k * b_step.
  // a_row is a compile-time constant, so that all rows share one address register.
  template <int a_row>
  LAIM_INLINE void multiply(int64_t steps, const T* a, int64_t a_step, const T* b, int64_t b_step) {
    for (int64_t k = 0; k < steps; ++k) {
      V row[vectors];
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) row[j] = V::load(b + j * V::width);
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i) {
        const V x = V::all(a[i * a_row]);
#pragma GCC unroll 8
        for (int j = 0; j < vectors; ++j) sum[i][j] = V::fma(x, row[j], sum[i][j]);
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
// Calls range(row) -> Interval for the part of k that matters to the tile of rows starting there.
template <class T, int a_row, class Range>
LAIM_INLINE void multiply_block(int64_t rows, int64_t columns, const T* a, int64_t a_tile, int64_t a_step, const T* b,
                                int64_t b_step, T* c, int64_t c_stride, const Range& range) {
  constexpr int wide = Tile::vectors * Vec<T>::width;
  for (int64_t i = 0; i < rows; i += Tile::rows) {
    const Interval k = range(i);
    if (k.end <= k.begin) continue;
    const T* a_first = a + i / Tile::rows * a_tile + k.begin * a_step;
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

// dst[k * width + i] = scale * src(i, k) for i < rows, zero up to width: the order in which a micro-kernel reads.
template <class T, class S>
LAIM_INLINE void pack_panel(T* dst, int width, Matrix<const S> src, int64_t rows, int64_t depth, T scale) {
  using V = Vec<T>;
  const V factor = V::all(scale);
  if (src.row_stride == 1 && rows == width) {  // already side by side
    for (int64_t k = 0; k < depth; ++k)
      each_vector<V>(
          width, [&](int64_t i, int64_t n) { store(load<V>(src.at(0, k) + i, n) * factor, dst + k * width + i, n); });
  } else if (sizeof(T) == 4 && src.column_stride == 1) {  // a square of vectors at a time
    if constexpr (sizeof(T) == 4) {
      for (int64_t i0 = 0; i0 < width; i0 += V::width) {
        const int64_t lanes = min<int64_t>(V::width, width - i0);
        each_vector<V>(depth, [&](int64_t k, int64_t n) {
          V square[V::width];
#pragma GCC unroll 16
          for (int i = 0; i < V::width; ++i)
            square[i] = i0 + i < rows ? load<V>(src.at(i0 + i, k), n) * factor : V::zero();
          transpose(square);
#pragma GCC unroll 16
          for (int j = 0; j < V::width; ++j)
            if (j < n) store(square[j], dst + (k + j) * width + i0, lanes);
        });
      }
    }
  } else {
    for (int i = 0; i < width; ++i)
      for (int64_t k = 0; k < depth; ++k) dst[k * width + i] = i < rows ? element<T>(src.at(i, k)) * scale : T(0);
  }
}

}  // namespace laim::LAIM_ISA
