// Loads and stores with ragged ends, and the micro-kernel that all matrix work rests on: a tile of rows x (vectors *
// width) sums in registers, one broadcast of A and one row of B per step of k.
//
// What is packed for it are operands: numbers of the compute type, or, where the policy has a dot product of pairs
// (LAIM_PAIRS) and the storage type is bf16, pairs of neighbouring steps of k. An odd last step is paired with a zero.
//
// Where it has tile registers (LAIM_TILES), the micro-kernel's sums are in four of those, and it takes sixteen pairs a
// step: A lies in panels as [sixteen steps][row][step], and both sides have zeros up to whole steps.
#pragma once

namespace laim::LAIM_ISA {

#ifdef LAIM_TILES
constexpr bool has_tiles = true;
struct Tile {
  static constexpr int rows = 2 * TileFile::rows, vectors = 2;
  static constexpr int step = TileFile::words;       // operands along k that are multiplied at once
  static constexpr int panel_row = TileFile::words;  // operands from a row of A to the next in a panel
};
#else
constexpr bool has_tiles = false;
struct Tile : VectorTile {
  static constexpr int step = 1, panel_row = 1;
};
#endif

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

  // sum += A B over k in [0, steps) operands; A's (i, k) at a[i * a_row + k * a_step], B's row k at b + k * b_step.
  // a_row is a compile-time constant, so that all rows share one address register. Only the first `used` rows change.
  template <int a_row, int used = rows, class O>
  LAIM_INLINE void multiply(int64_t steps, const O* a, int64_t a_step, const O* b, int64_t b_step) {
    using W = Vec<O>;
    for (int64_t k = 0; k < steps; ++k) {
      W row[vectors];
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) row[j] = W::load(b + j * W::width);
#pragma GCC unroll 16
      for (int i = 0; i < used; ++i) {
        const W x = W::all(a[i * a_row]);
#pragma GCC unroll 8
        for (int j = 0; j < vectors; ++j) sum[i][j] = W::fma(x, row[j], sum[i][j]);
      }
      a += a_step;
      b += b_step;
    }
  }

  // The same in two chains of additions, the first of `chain` steps: the rounding error of a single long one would be
  // larger. The first one's sums wait in memory: of two sets in registers, GCC spills the one that the loop needs.
  template <int a_row, int used = rows, class O>
  LAIM_INLINE void multiply_chains(int64_t chain, int64_t steps, const O* a, int64_t a_step, const O* b,
                                   int64_t b_step) {
    multiply<a_row, used>(chain, a, a_step, b, b_step);
    if (chain >= steps) return;
    alignas(64) T waiting[rows * vectors * V::width];
    store(waiting, vectors * V::width);
    __asm__ volatile("" : : "r"(waiting) : "memory");
    clear();
    multiply<a_row, used>(steps - chain, a + chain * a_step, a_step, b + chain * b_step, b_step);
    Sums first;
    first.load(waiting, vectors * V::width);
    add(first);
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

#ifdef LAIM_TILES
// The same in tile registers 0 to 3; A passes through 4 and 5, B through 6 and 7.
template <int vectors>
struct TileSums {
  static constexpr int half = TileFile::rows, words = TileFile::words;

  LAIM_INLINE void clear() {
    tile_zero<0>();
    tile_zero<2>();
    if constexpr (vectors == 2) {
      tile_zero<1>();
      tile_zero<3>();
    }
  }

  // A's (i, k) at a[i * a_row + k / 16 * 16 * a_step + k % 16]. Whole steps are read, whatever `steps` is.
  template <int a_row>
  LAIM_INLINE void multiply(int64_t steps, const bf16x2* a, int64_t a_step, const bf16x2* b, int64_t b_step) {
    constexpr int64_t a_bytes = a_row * int64_t(sizeof(bf16x2));
    const int64_t b_bytes = b_step * int64_t(sizeof(bf16x2));
    for (int64_t k = 0; k < steps; k += Tile::step) {
      tile_load<4>(a + k * a_step, a_bytes);
      tile_load<6>(b + k * b_step, b_bytes);
      tile_dot<0, 4, 6>();
      tile_load<5>(a + k * a_step + half * a_row, a_bytes);
      tile_dot<2, 5, 6>();
      if constexpr (vectors == 2) {
        tile_load<7>(b + k * b_step + words, b_bytes);
        tile_dot<1, 4, 7>();
        tile_dot<3, 5, 7>();
      }
    }
  }

  LAIM_INLINE void load(const float* c, int64_t stride) {
    const int64_t bytes = stride * int64_t(sizeof(float));
    tile_load<0>(c, bytes);
    tile_load<2>(c + half * stride, bytes);
    if constexpr (vectors == 2) {
      tile_load<1>(c + words, bytes);
      tile_load<3>(c + half * stride + words, bytes);
    }
  }

  LAIM_INLINE void store(float* c, int64_t stride) const {
    const int64_t bytes = stride * int64_t(sizeof(float));
    tile_store<0>(c, bytes);
    tile_store<2>(c + half * stride, bytes);
    if constexpr (vectors == 2) {
      tile_store<1>(c + words, bytes);
      tile_store<3>(c + half * stride + words, bytes);
    }
  }
};
template <class T, int vectors>
using MicroSums = TileSums<vectors>;
#else
// Vector registers come with the program.
struct TileRegisters {};
template <class T, int vectors>
using MicroSums = Sums<T, Tile::rows, vectors>;
#endif

// Operands of a row or column of `depth` steps of k, up to whole steps of the micro-kernel.
template <class O>
LAIM_INLINE int64_t operands_of(int64_t depth) {
  return round_up(ceil_div(depth, span<O>), Tile::step);
}

// C (rows, columns) += A B for a block whose C has room for whole tiles. columns is a multiple of the vector width.
// Calls range(row) -> Interval for the part of k that matters to the tile of rows starting there; what its ends cut of
// a pair, or of a step of the micro-kernel, must be zero in A or in B, and a number in the other.
template <class T, int a_row, class O, class Range>
LAIM_INLINE void multiply_block(int64_t rows, int64_t columns, const O* a, int64_t a_tile, int64_t a_step, const O* b,
                                int64_t b_step, T* c, int64_t c_stride, const Range& range) {
  constexpr int wide = Tile::vectors * Vec<T>::width;
  for (int64_t i = 0; i < rows; i += Tile::rows) {
    const Interval wanted = range(i);
    if (wanted.end <= wanted.begin) continue;
    const Interval k = {wanted.begin / span<O> / Tile::step * Tile::step, operands_of<O>(wanted.end)};
    const O* a_first = a + i / Tile::rows * a_tile + k.begin * a_step;
    T* c_row = c + i * c_stride;
    int64_t j = 0;
    for (; j + wide <= columns; j += wide) {
      MicroSums<T, Tile::vectors> tile;
      tile.load(c_row + j, c_stride);
      tile.template multiply<a_row>(k.end - k.begin, a_first, a_step, b + k.begin * b_step + j, b_step);
      tile.store(c_row + j, c_stride);
    }
    for (; j < columns; j += Vec<T>::width) {
      MicroSums<T, 1> tile;
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

// dst[k * width + i] = operand k of row i, zero from row `rows` to width and beyond `depth`: the order in which a
// micro-kernel reads.
template <class O, class S>
LAIM_INLINE void pack_panel(O* dst, int width, Matrix<const S> src, int64_t rows, int64_t depth) {
  using V = Vec<O>;
  const int64_t steps = ceil_div(depth, span<O>), whole = depth / span<O>;
  for (int64_t k = steps * width; k < operands_of<O>(depth) * width; ++k) dst[k] = O{};
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

// Rows in panels of `width`, one after the other. Rows that are side by side in memory are packed step of k by step of
// k: panel by panel, each would go through all that memory.
template <class O, class S>
LAIM_INLINE void pack_panels(O* dst, int width, Matrix<const S> src, int64_t rows, int64_t depth) {
  const int64_t steps = operands_of<O>(depth);
  int64_t done = 0;
  if (src.row_stride == 1) {
    const Matrix<const S> columns = {src.data, src.column_stride, 1};
    done = rows / width * width;
    for (int64_t k = 0; k < steps; ++k)
      for (int64_t i = 0; i < done; i += width)
        each_vector<Vec<O>>(width, [&](int64_t lane, int64_t n) {
          store(side_by_side<O>(columns, k, i + lane, depth, n), dst + i * steps + k * width + lane, n);
        });
  }
  for (int64_t i = done; i < rows; i += width) {
    const Matrix<const S> panel = {src.at(i, 0), src.row_stride, src.column_stride};
    pack_panel(dst + i * steps, width, panel, min<int64_t>(width, rows - i), depth);
  }
}

#ifdef LAIM_TILES
// A panel of A for tile registers: Tile::rows rows, zero from row `rows` on and beyond `depth`.
template <class O, class S>
LAIM_INLINE void pack_tiles(O* dst, Matrix<const S> src, int64_t rows, int64_t depth) {
  using W = Vec<O>;
  static_assert(W::width == Tile::step, "a row of a tile is a vector");
  const int64_t whole = depth / span<O>;
  for (int64_t k0 = 0; k0 < operands_of<O>(depth); k0 += Tile::step) {
    O* step = dst + k0 * Tile::rows;
    const int64_t full = clamp(whole - k0, 0, Tile::step);  // pairs that are not cut
    if (src.row_stride == 1 && full == Tile::step) {        // rows side by side: a square at a time
      const Matrix<const S> columns = {src.data, src.column_stride, 1};
      for (int64_t i0 = 0; i0 < Tile::rows; i0 += W::width) {
        const int64_t lanes = clamp(rows - i0, 0, W::width);
        W square[W::width];
#pragma GCC unroll 16
        for (int k = 0; k < W::width; ++k) square[k] = side_by_side<O>(columns, k0 + k, i0, depth, lanes);
        transpose(square);
#pragma GCC unroll 16
        for (int i = 0; i < W::width; ++i) square[i].store(step + (i0 + i) * Tile::panel_row);
      }
      continue;
    }
    for (int64_t i = 0; i < Tile::rows; ++i) {
      O* row = step + i * Tile::panel_row;
      int64_t k = 0;
      if (i >= rows) {
        W::zero().store(row);
        continue;
      }
      if (src.column_stride == 1) {
        W::load(src.at(i, k0 * span<O>), full).store(row);
        k = full;
      }
      for (; k < Tile::step; ++k) row[k] = (k0 + k) * span<O> < depth ? operand<O>(src, i, k0 + k, depth) : O{};
    }
  }
}
#endif

// Rows as the A operand, in panels of Tile::rows.
template <class O, class S>
LAIM_INLINE void pack_left(O* dst, Matrix<const S> src, int64_t rows, int64_t depth) {
#ifdef LAIM_TILES
  for (int64_t i = 0; i < rows; i += Tile::rows) {
    const Matrix<const S> panel = {src.at(i, 0), src.row_stride, src.column_stride};
    pack_tiles(dst + i * operands_of<O>(depth), panel, min<int64_t>(Tile::rows, rows - i), depth);
  }
#else
  pack_panels(dst, Tile::rows, src, rows, depth);
#endif
}

}  // namespace laim::LAIM_ISA
