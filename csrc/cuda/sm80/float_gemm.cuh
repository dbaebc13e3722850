// C = A B in fp32 without tensor cores, with the epilogues of the others: every product and sum is rounded to fp32.
//
// A block makes a tile of 128x128 of C, each of its 256 threads 8x8 of it: four quarters of 4x4, 64 rows and columns
// apart, so that neighbouring threads read neighbouring numbers. Slices of A and B, 8 deep, lie in shared memory with
// the rows of A and the columns of B side by side, and go through a ring of four stages as in gemm.cuh.
#pragma once
#include "cuda/sm80/float_tile.cuh"
#include "cuda/sm80/product.cuh"
#include "cuda/sm80/ring.cuh"

namespace laim::cuda {

struct FloatGemmShape {
  static constexpr int rows = 128, columns = 128, depth = 8, stages = 4, threads = 256;
  using Left = FloatTile<depth, rows>;
  using Right = FloatTile<depth, columns>;
  static constexpr int64_t shared_bytes = rows * columns * int64_t(sizeof(float));
  static_assert(stages * (Left::size + Right::size) <= rows * columns, "the operands lie where C's tile will be");
};

// Epilogue::accumulate adds to `total`, all others write args.out. `pairs`: what the epilogue touches is aligned to 8
// bytes in every row.
template <class Shape>
LAIM_KERNEL(Shape::threads, 2)
float_gemm_kernel(LAIM_ARGUMENT GemmArgs<float> args, LAIM_ARGUMENT Matrix<float> total, LAIM_ARGUMENT bool pairs) {
  using Left = typename Shape::Left;
  using Right = typename Shape::Right;
  float* const memory = reinterpret_cast<float*>(shared_memory());
  const auto left_tile = [&](int stage) { return Left{memory + stage * (Left::size + Right::size)}; };
  const auto right_tile = [&](int stage) { return Right{left_tile(stage).data + Left::size}; };
  const TileOrigin origin = tile_origin<Shape>(args.m, args.n, int(block_x()));
  const auto copy = [&](int64_t slice, int stage) {
    const int64_t k0 = slice * Shape::depth, deep = args.k - k0;
    copy_float_tile<Shape::threads>(left_tile(stage),
                                    {args.a.at(origin.row, k0), args.a.column_stride, args.a.row_stride}, deep,
                                    args.m - origin.row);
    copy_float_tile<Shape::threads>(right_tile(stage),
                                    {args.b.at(k0, origin.column), args.b.row_stride, args.b.column_stride}, deep,
                                    args.n - origin.column);
  };

  // A warp's lanes are 4 rows of 8 threads each, the warps 4 rows of 2.
  const int lane = lane_index(), warp = warp_index();
  const int row0 = (warp / 2 * 4 + lane / 8) * 4, column0 = (warp % 2 * 8 + lane % 8) * 4;
  constexpr int half_rows = Shape::rows / 2, half_columns = Shape::columns / 2;
  float sum[8][8] = {};

  through_ring<Shape::stages>(ceil_div(args.k, Shape::depth), copy, [&](int stage) {
    const Left left = left_tile(stage);
    const Right right = right_tile(stage);
    LAIM_UNROLL
    for (int k = 0; k < Shape::depth; ++k) {
      const Four a[2] = {left.four(k, row0), left.four(k, half_rows + row0)};
      const Four b[2] = {right.four(k, column0), right.four(k, half_columns + column0)};
      LAIM_UNROLL
      for (int i = 0; i < 8; ++i) {
        LAIM_UNROLL
        for (int j = 0; j < 8; ++j) sum[i][j] += a[i / 4].value[i % 4] * b[j / 4].value[j % 4];
      }
    }
  });

  float* const tile = memory;
  const auto in_tile = [&](int row, int column) { return tile + row * Shape::columns + column; };
  block_barrier();  // the operands are needed no more
  LAIM_UNROLL
  for (int i = 0; i < 8; ++i) {
    LAIM_UNROLL
    for (int j = 0; j < 8; j += 4)
      store_shared(reinterpret_cast<Four*>(in_tile(i / 4 * half_rows + row0 + i % 4, j / 4 * half_columns + column0)),
                   Four{{sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]}});
  }
  block_barrier();
  finish_tile<Shape>(args, total, origin, pairs, in_tile);
}

}  // namespace laim::cuda
