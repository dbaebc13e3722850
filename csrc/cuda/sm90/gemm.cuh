// C = A B with everything that may follow a product in its epilogue (core/kernels.h: Epilogue), for sm_90a. bf16 or
// fp16, sums in fp32.
//
// A block makes a tile of 128x256 of C. One warp loads, two warpgroups multiply, 64x256 each. Slices of A and B, 64
// deep, go through a ring of four stages, each with two mbarriers:
//
//   loads       wait(empty i - 4)  announce(full i)  TMA into stage i mod 4
//   multiply    wait(full i)  wgmma on slice i  wait for wgmma on slice i - 1  arrive(empty i - 1)
//
// full: one arrival, the loading thread's, and the bytes of the slice. empty: one arrival of each warp that multiplies,
// when its wgmma has read the slice.
#pragma once
#include "cuda/sm80/product.cuh"
#include "cuda/wgmma.cuh"

namespace laim::cuda {

struct WgmmaGemmShape {
  static constexpr int rows = 128, columns = 256, depth = 64, stages = 4;
  static constexpr int warpgroup_rows = 64, multiplying_warps = rows / warpgroup_rows * 4;
  static constexpr int threads = (multiplying_warps + 1) * warp_size;
  // A box is 64 rows of 128 bytes, whichever way the operand lies.
  static constexpr int box = 64, box_bytes = box * box * 2, left_boxes = rows / box, right_boxes = columns / box;
  static constexpr int stage_bytes = (left_boxes + right_boxes) * box_bytes;
  static constexpr int64_t shared_bytes = stages * (stage_bytes + 2 * int64_t(sizeof(Mbarrier)));
  static_assert(rows * columns * 4 <= stages * stage_bytes, "the epilogue's tile lies where the operands were");
};

// Of both operands as they lie in memory. Returns nullptr, or why TMA cannot take them.
template <class S>
const char* operand_maps(const GemmArgs<S>& args, TensorMap* left, TensorMap* right) {
  const auto make = [](TensorMap* map, const Matrix<const S>& from, int64_t rows, int64_t columns) -> const char* {
    if (from.column_stride != 1) return make_tensor_map(map, from.data, rows, columns, from.column_stride, box_columns);
    return make_tensor_map(map, from.data, columns, rows, from.row_stride, box_columns);
  };
  const char* error = make(left, args.a, args.m, args.k);
  return error ? error : make(right, args.b, args.k, args.n);
}

// left_by_rows: A's elements along k are neighbours in memory (else those along m); right_by_rows: B's along n (else
// k). Epilogue::accumulate adds to `total`, all others write args.out.
template <class S, bool left_by_rows, bool right_by_rows>
LAIM_KERNEL(WgmmaGemmShape::threads, 1)
wgmma_gemm_kernel(LAIM_ARGUMENT GemmArgs<S> args, LAIM_ARGUMENT Matrix<float> total, LAIM_ARGUMENT TensorMap left_map,
                  LAIM_ARGUMENT TensorMap right_map, LAIM_ARGUMENT bool pairs) {
  using Shape = WgmmaGemmShape;
  uint8_t* const memory = shared_memory();
  Mbarrier *const full = reinterpret_cast<Mbarrier*>(memory + Shape::stages * Shape::stage_bytes), *const empty =
                                                                                                       full +
                                                                                                       Shape::stages;
  const auto left_box = [&](int stage, int i) { return memory + stage * Shape::stage_bytes + i * Shape::box_bytes; };
  const auto right_box = [&](int stage, int i) { return left_box(stage, Shape::left_boxes + i); };
  const TileOrigin origin = tile_origin<Shape>(args.m, args.n);
  const int slices = int(ceil_div(args.k, Shape::depth)), warp = warp_index();
  const bool loads = warp == Shape::multiplying_warps;

  if (thread_index() == 0) {
    for (int stage = 0; stage < Shape::stages; ++stage) {
      mbarrier_init(full + stage, 1);
      mbarrier_init(empty + stage, Shape::multiplying_warps);
    }
    mbarrier_fence_init();
  }
  block_barrier();

  float sum[Shape::columns / 2] = {};  // of 64x256, a warpgroup's
  if (loads) {
    if (lane_index() == 0) {
      for (int slice = 0; slice < slices; ++slice) {
        const int stage = slice % Shape::stages, round = slice / Shape::stages;
        if (round > 0) mbarrier_wait(empty + stage, (round - 1) % 2);
        mbarrier_arrive_expect(full + stage, Shape::stage_bytes);
        const int64_t k = int64_t(slice) * Shape::depth;
        for (int i = 0; i < Shape::left_boxes; ++i) {
          const int64_t m = origin.row + i * Shape::box;
          load_box(left_box(stage, i), left_map, left_by_rows ? m : k, left_by_rows ? k : m, full + stage);
        }
        for (int i = 0; i < Shape::right_boxes; ++i) {
          const int64_t n = origin.column + i * Shape::box;
          load_box(right_box(stage, i), right_map, right_by_rows ? k : n, right_by_rows ? n : k, full + stage);
        }
      }
    }
    warp_barrier();
  } else {
    for (int slice = 0; slice < slices; ++slice) {
      const int stage = slice % Shape::stages, round = slice / Shape::stages;
      mbarrier_wait(full + stage, round % 2);
      const uint64_t left = operand_descriptor(left_box(stage, warp / 4), 0),
                     right = operand_descriptor(right_box(stage, 0), Shape::box_bytes);
      wgmma_fence(sum);
      LAIM_UNROLL
      for (int step = 0; step < Shape::depth / 16; ++step)
        wgmma<S, !left_by_rows, right_by_rows>(sum, next_step<!left_by_rows>(left, step),
                                               next_step<right_by_rows>(right, step));
      wgmma_commit();
      wgmma_wait<1>(sum);
      if (slice > 0 && lane_index() == 0) mbarrier_arrive(empty + (slice - 1) % Shape::stages);
    }
    wgmma_wait<0>(sum);
  }

  // Through shared memory, as in sm80/gemm.cuh, once both warpgroups' operands are read.
  float* const tile = reinterpret_cast<float*>(memory);
  const auto in_tile = [&](int row, int column) { return tile + row * Shape::columns + (column ^ (row % 8 * 8)); };
  block_barrier();
  if (!loads) {
    const int row = warp * 16 + lane_index() / 4;
    LAIM_UNROLL
    for (int j = 0; j < Shape::columns / 8; ++j) {
      const int column = j * 8 + lane_index() % 4 * 2;
      store_shared(reinterpret_cast<Pair*>(in_tile(row, column)), Pair{sum[4 * j], sum[4 * j + 1]});
      store_shared(reinterpret_cast<Pair*>(in_tile(row + 8, column)), Pair{sum[4 * j + 2], sum[4 * j + 3]});
    }
  }
  block_barrier();
  finish_tile<Shape>(args, total, origin, pairs, in_tile);
}

}  // namespace laim::cuda
