// C = A B with everything that may follow a product in its epilogue (core/kernels.h: Epilogue), for sm_90a. bf16 or
// fp16, sums in fp32.
//
// There are at most as many blocks as multiprocessors, and each makes one tile of 128x256 of C after the other. One
// warp loads, two warpgroups multiply, 64x256 each. Slices of A and B, 64 deep, go through a ring of four stages, each
// with two mbarriers. Slice n of a block, counted on from tile to tile:
//
//   loads       wait(empty n - 4)  announce(full n)  TMA into stage n mod 4
//   multiply    wait(full n)  wgmma on slice n  wait for wgmma on slice n - 1  arrive(empty n - 1)
//
// full: one arrival, the loading thread's, and the bytes of the slice. empty: one arrival of each warp that multiplies,
// when its wgmma has read the slice.
//
// The loading warp knows no end of a tile: while the others are in the epilogue it fills the ring with the next tile.
// So the sums must not go where the stages are. Four stages leave 35 KiB of a multiprocessor's 227: 4 KiB for each of
// the eight warps, which passes its 16 rows through them 64 columns at a time. It reads only what it wrote itself, so
// that no warp waits for another there.
#pragma once
#include "cuda/sm80/product.cuh"
#include "cuda/wgmma.cuh"

namespace laim::cuda {

struct WgmmaGemmShape {
  static constexpr int rows = 128, columns = 256, depth = 64, stages = 4;
  static constexpr int warpgroup_rows = 64, multiplying_warps = rows / warpgroup_rows * 4;
  // The loading warp's warpgroup is whole only to give its registers to those that hold sums.
  static constexpr int threads = (multiplying_warps + 4) * warp_size;
  static constexpr int loading_registers = 24, multiplying_registers = 240;
  // A box is 64 rows of 128 bytes, whichever way the operand lies.
  static constexpr int box = 64, box_bytes = box * box * 2, left_boxes = rows / box, right_boxes = columns / box;
  static constexpr int stage_bytes = (left_boxes + right_boxes) * box_bytes;
  struct Piece {  // of a warp's sums, on their way through shared memory
    static constexpr int rows = 16, columns = 64, threads = warp_size;
  };
  static constexpr int piece_bytes = Piece::rows * Piece::columns * 4;
  static constexpr int64_t shared_bytes =
      stages * (stage_bytes + 2 * int64_t(sizeof(Mbarrier))) + multiplying_warps * piece_bytes;
  static_assert(shared_bytes <= 227 * 1024, "what a block may have");
};

// As many blocks as can be at work at once, but none without a tile.
template <class S>
Launch wgmma_gemm_launch(const GemmArgs<S>& args, int multiprocessors) {
  Launch launch = gemm_launch<WgmmaGemmShape>(args);
  launch.x = min(launch.x, uint32_t(multiprocessors));
  return launch;
}

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

// The block's shared memory: the boxes and mbarriers of its n-th slice, and a warp's place for its sums. n may run
// over: what counts is n mod 8.
struct WgmmaGemmMemory {
  using Shape = WgmmaGemmShape;
  uint8_t* memory;

  LAIM_DEVICE uint8_t* left_box(uint32_t n, int i) const {
    return memory + n % Shape::stages * Shape::stage_bytes + i * Shape::box_bytes;
  }
  LAIM_DEVICE uint8_t* right_box(uint32_t n, int i) const { return left_box(n, Shape::left_boxes + i); }
  LAIM_DEVICE uint8_t* sums(int warp) const {
    return memory + Shape::stages * Shape::stage_bytes + warp * Shape::piece_bytes;
  }
  LAIM_DEVICE Mbarrier* full(uint32_t n) const {
    return reinterpret_cast<Mbarrier*>(sums(Shape::multiplying_warps)) + n % Shape::stages;
  }
  LAIM_DEVICE Mbarrier* empty(uint32_t n) const { return full(n) + Shape::stages; }
  LAIM_DEVICE static uint32_t parity(uint32_t n) { return n / Shape::stages % 2; }

  LAIM_DEVICE void init() const {
    for (uint32_t stage = 0; stage < Shape::stages; ++stage) {
      mbarrier_init(full(stage), 1);
      mbarrier_init(empty(stage), Shape::multiplying_warps);
    }
    mbarrier_fence_init();
  }
};

// left_by_rows: A's elements along k are neighbours in memory (else those along m); right_by_rows: B's along n (else
// k). Epilogue::accumulate adds to `total`, all others write args.out. blocks: of the launch.
template <class S, bool left_by_rows, bool right_by_rows>
LAIM_KERNEL(WgmmaGemmShape::threads, 1)
wgmma_gemm_kernel(LAIM_ARGUMENT GemmArgs<S> args, LAIM_ARGUMENT Matrix<float> total, LAIM_ARGUMENT TensorMap left_map,
                  LAIM_ARGUMENT TensorMap right_map, LAIM_ARGUMENT int blocks, LAIM_ARGUMENT bool pairs) {
  using Shape = WgmmaGemmShape;
  using Piece = Shape::Piece;
  const WgmmaGemmMemory at = {shared_memory()};
  const int tiles = tile_count<Shape>(args.m, args.n), slices = int(ceil_div(args.k, Shape::depth));
  const int warp = warp_index(), lane = lane_index();
  uint32_t n = 0;

  if (thread_index() == 0) at.init();
  block_barrier();

  if (warp >= Shape::multiplying_warps) {
    set_registers<Shape::loading_registers, false>();
    if (warp > Shape::multiplying_warps || lane > 0) return;
    for (int tile = int(block_x()); tile < tiles; tile += blocks) {
      const TileOrigin origin = tile_origin<Shape>(args.m, args.n, tile);
      for (int slice = 0; slice < slices; ++slice, ++n) {
        mbarrier_wait(at.empty(n), at.parity(n - Shape::stages));  // of a fresh one, in the first round, none
        mbarrier_arrive_expect(at.full(n), Shape::stage_bytes);
        const int64_t k = int64_t(slice) * Shape::depth;
        for (int i = 0; i < Shape::left_boxes; ++i) {
          const int64_t row = origin.row + i * Shape::box;
          load_box(at.left_box(n, i), left_map, left_by_rows ? row : k, left_by_rows ? k : row, at.full(n));
        }
        for (int i = 0; i < Shape::right_boxes; ++i) {
          const int64_t column = origin.column + i * Shape::box;
          load_box(at.right_box(n, i), right_map, right_by_rows ? k : column, right_by_rows ? column : k, at.full(n));
        }
      }
    }
    return;
  }
  set_registers<Shape::multiplying_registers, true>();

  float sum[Shape::columns / 2];  // of 64x256, a warpgroup's
  const auto give_back = [&](uint32_t slice) {
    if (lane == 0) mbarrier_arrive(at.empty(slice));
  };
  // Eight columns at a time change places by row, as in sm80/gemm.cuh.
  float* const staged = reinterpret_cast<float*>(at.sums(warp));
  const auto in_piece = [&](int row, int column) { return staged + row * Piece::columns + (column ^ (row % 8 * 8)); };
  for (int tile = int(block_x()); tile < tiles; tile += blocks) {
    for (int slice = 0; slice < slices; ++slice, ++n) {
      mbarrier_wait(at.full(n), at.parity(n));
      const uint64_t left = operand_descriptor(at.left_box(n, warp / 4), 0),
                     right = operand_descriptor(at.right_box(n, 0), Shape::box_bytes);
      wgmma_fence(sum);
      LAIM_UNROLL
      for (int step = 0; step < Shape::depth / 16; ++step)
        wgmma<S, !left_by_rows, right_by_rows>(sum, next_step<!left_by_rows>(left, step),
                                               next_step<right_by_rows>(right, step), slice > 0 || step > 0);
      wgmma_commit();
      wgmma_wait<1>(sum);
      if (slice > 0) give_back(n - 1);
    }
    wgmma_wait<0>(sum);
    give_back(n - 1);  // before the epilogue, under which the next tile comes

    const TileOrigin origin = tile_origin<Shape>(args.m, args.n, tile);
    LAIM_ROLLED
    for (int piece = 0; piece < Shape::columns / Piece::columns; ++piece) {
      // All sums are gone through and some taken: registers have no index that is known only when the kernel runs.
      LAIM_UNROLL
      for (int j = 0; j < Shape::columns / 8; ++j) {
        if (j * 8 / Piece::columns != piece) continue;
        const int row = lane / 4, column = j * 8 % Piece::columns + lane % 4 * 2;
        store_shared(reinterpret_cast<Pair*>(in_piece(row, column)), Pair{sum[4 * j], sum[4 * j + 1]});
        store_shared(reinterpret_cast<Pair*>(in_piece(row + 8, column)), Pair{sum[4 * j + 2], sum[4 * j + 3]});
      }
      warp_barrier();
      finish_tile<Piece>(args, total, {origin.row + warp * Piece::rows, origin.column + piece * Piece::columns}, pairs,
                         in_piece);
      warp_barrier();  // what was staged has been read; and wgmma, of the next tile, is for whole warps
    }
  }
}

}  // namespace laim::cuda
