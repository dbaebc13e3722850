// C = A B with everything that may follow a product in its epilogue (core/kernels.h: Epilogue). bf16 or fp16, sums in
// fp32.
//
// A block makes a tile of 128x128 of C, its four warps 64x64 each. Slices of A and B, 32 deep, go through a ring of
// four stages: while the tensor cores work on one, cp.async fills the others.
//
//   wait(slice i) barrier  copy(slice i + 3)  ldmatrix, mma on slice i     the barrier also says: all are done with i -
//   1
#pragma once
#include "cuda/sm80/product.cuh"
#include "cuda/sm80/ring.cuh"
#include "cuda/sm80/tile.cuh"

namespace laim::cuda {

struct GemmShape {
  static constexpr int rows = 128, columns = 128, depth = 32, stages = 4, threads = 128;
  static constexpr int warp_rows = 64, warp_columns = 64;
  static constexpr int64_t stage_bytes = 2 * (rows + columns) * depth;
  static constexpr int64_t shared_bytes = stages * stage_bytes;
  static_assert(rows * columns * 4 <= shared_bytes, "the epilogue's tile lies where the operands were");
};

// Whether a matrix can be read and written by 16-byte chunks along its contiguous dimension.
template <class S>
bool by_chunks(const S* data, int64_t stride) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride % chunk_elements == 0;
}

// left_by_rows: A's elements along k are neighbours in memory (else those along m); right_by_rows: B's along n (else
// k). Epilogue::accumulate adds to `total`, all others write args.out.
template <class S, bool left_by_rows, bool right_by_rows>
LAIM_KERNEL(GemmShape::threads, 2)
gemm_kernel(LAIM_ARGUMENT GemmArgs<S> args, LAIM_ARGUMENT Matrix<float> total, LAIM_ARGUMENT bool left_chunks,
            LAIM_ARGUMENT bool right_chunks, LAIM_ARGUMENT bool pairs) {
  using Shape = GemmShape;
  using Left = Tile<S, left_by_rows ? Shape::rows : Shape::depth, left_by_rows ? Shape::depth : Shape::rows>;
  using Right = Tile<S, right_by_rows ? Shape::depth : Shape::columns, right_by_rows ? Shape::columns : Shape::depth>;
  S* const memory = reinterpret_cast<S*>(shared_memory());
  const auto left_tile = [&](int stage) { return Left{memory + stage * (Shape::stage_bytes / 2)}; };
  const auto right_tile = [&](int stage) { return Right{left_tile(stage).data + Shape::rows * Shape::depth}; };

  const TileOrigin origin = tile_origin<Shape>(args.m, args.n, int(block_x()));
  const int64_t left_stride = left_by_rows ? args.a.row_stride : args.a.column_stride;
  const int64_t right_stride = right_by_rows ? args.b.row_stride : args.b.column_stride;
  const auto copy = [&](int64_t slice, int stage) {
    const int64_t k0 = slice * Shape::depth, deep = args.k - k0;
    copy_tile<Shape::threads>(
        left_tile(stage), Source<S>{args.a.at(origin.row, k0), left_stride, left_by_rows ? args.m - origin.row : deep,
                                    left_by_rows ? deep : args.m - origin.row, left_chunks});
    copy_tile<Shape::threads>(
        right_tile(stage),
        Source<S>{args.b.at(k0, origin.column), right_stride, right_by_rows ? deep : args.n - origin.column,
                  right_by_rows ? args.n - origin.column : deep, right_chunks});
  };

  constexpr int fragment_rows = Shape::warp_rows / 16, fragment_columns = Shape::warp_columns / 8;
  float sum[fragment_rows][fragment_columns][4] = {};
  const int warp_row = warp_index() % 2 * Shape::warp_rows, warp_column = warp_index() / 2 * Shape::warp_columns;

  through_ring<Shape::stages>(ceil_div(args.k, Shape::depth), copy, [&](int stage) {
    const Left left = left_tile(stage);
    const Right right = right_tile(stage);
    LAIM_UNROLL
    for (int step = 0; step < Shape::depth / 16; ++step) {
      uint32_t a[fragment_rows][4];
      LAIM_UNROLL
      for (int i = 0; i < fragment_rows; ++i) {
        if constexpr (left_by_rows)
          load_left(a[i], left, warp_row + i * 16, step);
        else
          load_left_transposed(a[i], left, warp_row + i * 16, step);
      }
      LAIM_UNROLL
      for (int j = 0; j < fragment_columns; j += 2) {
        uint32_t b[4];
        if constexpr (right_by_rows)
          load_right_straight(b, right, warp_column + j * 8, step);
        else
          load_right(b, right, warp_column + j * 8, step);
        LAIM_UNROLL
        for (int i = 0; i < fragment_rows; ++i) {
          mma_16816<S>(sum[i][j], a[i], b[0], b[1]);
          mma_16816<S>(sum[i][j + 1], a[i], b[2], b[3]);
        }
      }
    }
  });

  // Through shared memory, which the operands need no more, so that neighbouring threads write neighbouring columns.
  // Eight columns at a time change places by row: the rows that a warp writes at once lie in different banks.
  float* const tile = reinterpret_cast<float*>(shared_memory());
  const auto in_tile = [&](int row, int column) { return tile + row * Shape::columns + (column ^ (row % 8 * 8)); };
  const int lane = lane_index();
  block_barrier();
  LAIM_UNROLL
  for (int i = 0; i < fragment_rows; ++i) {
    LAIM_UNROLL
    for (int j = 0; j < fragment_columns; ++j) {
      const int row = warp_row + i * 16 + lane / 4, column = warp_column + j * 8 + lane % 4 * 2;
      store_shared(reinterpret_cast<Pair*>(in_tile(row, column)), Pair{sum[i][j][0], sum[i][j][1]});
      store_shared(reinterpret_cast<Pair*>(in_tile(row + 8, column)), Pair{sum[i][j][2], sum[i][j][3]});
    }
  }
  block_barrier();
  finish_tile<Shape>(args, total, origin, pairs, in_tile);
}

}  // namespace laim::cuda
