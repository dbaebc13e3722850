// Tiles of 16-bit elements in shared memory: filled by cp.async, read as mma fragments by ldmatrix.
//
// A tile keeps the 16-byte chunks of a row in an order that depends on the row (the swizzle), so that the eight rows
// which one ldmatrix phase reads at the same column lie in eight different groups of four banks.
#pragma once
#include "cuda/ptx.cuh"

namespace laim::cuda {

constexpr int chunk_elements = 8;  // 16 bytes

template <class S, int rows_, int columns_>
struct Tile {
  static constexpr int rows = rows_, columns = columns_, chunks = columns / chunk_elements;
  static constexpr int64_t bytes = int64_t(rows) * columns * int64_t(sizeof(S));
  static_assert(chunks == 4 || chunks % 8 == 0, "rows of 64 bytes, or of a multiple of 128");
  S* data;  // in shared memory, a multiple of 128 bytes

  LAIM_DEVICE S* at(int row, int chunk) const {
    // rows of 64 bytes: two of them share the banks of one row of 128, so that the pair's number is what counts
    const int swizzled = chunks == 4 ? chunk ^ (row / 2 % 4) : chunk ^ (row % 8);
    return data + row * columns + swizzled * chunk_elements;
  }
};

// Part of a row-major matrix in global memory, beginning at `data`; what lies outside `rows` and `columns` reads as
// zeros.
template <class S>
struct Source {
  const S* data;
  int64_t row_stride;
  int64_t rows, columns;  // what there is, from data on; may be more than a tile, or less than nothing
  bool by_chunks;         // data and row_stride are multiples of 16 bytes
};

// Fills a tile by all `threads` of the block. What it starts is there after cp_async_wait and a barrier.
template <int threads, class T, class S>
LAIM_DEVICE void copy_tile(const T& tile, const Source<S>& source) {
  LAIM_ROLLED
  for (int i = thread_index(); i < T::rows * T::chunks; i += threads) {
    const int row = i / T::chunks, chunk = i % T::chunks;
    const int64_t column = int64_t(chunk) * chunk_elements;
    const int valid = row < source.rows ? int(clamp(source.columns - column, 0, chunk_elements)) : 0;
    const S* from = source.data + (valid > 0 ? row * source.row_stride + column : 0);
    if (source.by_chunks) {
      cp_async_16(tile.at(row, chunk), from, valid * int(sizeof(S)));
    } else {
      Chunk values = {};
      LAIM_UNROLL
      for (int e = 0; e < chunk_elements; ++e)
        if (e < valid) values.word[e / 2] |= uint32_t(load_global(from + e).bits) << (e % 2 * 16);
      store_shared(reinterpret_cast<Chunk*>(tile.at(row, chunk)), values);
    }
  }
}

// A 16x16 fragment of the left operand from rows [row, row + 16) and columns [16 step, ...) of a tile.
template <class T>
LAIM_DEVICE void load_left(uint32_t (&a)[4], const T& tile, int row, int step, Site site = Site()) {
  const int lane = lane_index();
  ldmatrix_x4<false>(a, tile.at(row + lane % 16, step * 2 + lane / 16), site);
}

// The same from a tile that holds the operand transposed: rows of the tile are columns of the operand.
template <class T>
LAIM_DEVICE void load_left_transposed(uint32_t (&a)[4], const T& tile, int row, int step, Site site = Site()) {
  const int lane = lane_index();
  ldmatrix_x4<true>(a, tile.at(step * 16 + lane / 16 * 8 + lane % 8, row / chunk_elements + lane / 8 % 2), site);
}

// Two neighbouring 16x8 fragments of the right operand, {b[0], b[1]} and {b[2], b[3]}: columns [column, column + 16) of
// the operand, which are rows of the tile, and its rows [16 step, ...).
template <class T>
LAIM_DEVICE void load_right(uint32_t (&b)[4], const T& tile, int column, int step, Site site = Site()) {
  const int lane = lane_index();
  ldmatrix_x4<false>(b, tile.at(column + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2), site);
}

// The same from a tile that holds the operand as it is.
template <class T>
LAIM_DEVICE void load_right_straight(uint32_t (&b)[4], const T& tile, int column, int step, Site site = Site()) {
  const int lane = lane_index();
  ldmatrix_x4<true>(b, tile.at(step * 16 + lane % 16, column / chunk_elements + lane / 16), site);
}

}  // namespace laim::cuda
