// Attention forward for sm_90a: the algorithm, the masks and the softmax of sm80/attention.cuh, in a pipeline as that
// of FlashAttention-3 (Shah et al. 2024). bf16 or fp16 of 64 or 128 channels, sums in fp32.
//
// A block takes 128 queries of one head. One warp loads, two warpgroups multiply, 64 queries each. Keys and values go
// through rings of two stages each, whose stages have two mbarriers (full, empty) as those of the product (gemm.cuh). A
// warpgroup has two products under way, and its softmax under the second and under those of the other:
//
//   wait(V i - 1, K i)  take the turn  S = Q K^T, O += P V  give the turn to the other warpgroup
//   S is there: give K i back, softmax    O is there: give V i - 1 back, shrink O, the weights become P
//
// P is the left operand from registers.
//
// Tiles of keys come last first, so that what is special is at the beginning: the tile in which key lengths end.
#pragma once
#include "cuda/sm80/blocks.cuh"
#include "cuda/sm90/heads.cuh"

namespace laim::cuda {

template <int channels_>
struct WgmmaAttentionShape {
  static constexpr int channels = channels_, queries = 128, keys = 128, stages = 2;
  static constexpr int warpgroup_queries = 64, multiplying_warps = queries / warpgroup_queries * 4;
  // The loading warp's warpgroup, idle but for it, is there to give its registers to the others: the sums of 64x128
  // scores and results and the weights are 160 of a thread, more than twelve warps have otherwise.
  static constexpr int threads = (multiplying_warps + 4) * warp_size;
  static constexpr int loading_registers = 24, multiplying_registers = 240;
  // of queries, keys or values
  static constexpr int tile_rows = keys, boxes = channels / box_columns, box_bytes = tile_rows * box_columns * 2,
                       tile_bytes = boxes * box_bytes;
  static constexpr int tiles = 1 + 2 * stages, mbarriers = 1 + 4 * stages;
  static constexpr int64_t shared_bytes = tiles * tile_bytes + mbarriers * int64_t(sizeof(Mbarrier));
  static_assert(queries == keys, "one size of box for all");
};

// The block's shared memory: where the i-th tile lies, and its mbarriers.
template <class Shape>
struct AttentionTiles {
  uint8_t* memory;

  LAIM_DEVICE uint8_t* queries() const { return memory; }
  LAIM_DEVICE uint8_t* keys(int i) const { return memory + (1 + i % Shape::stages) * Shape::tile_bytes; }
  LAIM_DEVICE uint8_t* values(int i) const { return keys(i) + Shape::stages * Shape::tile_bytes; }
  LAIM_DEVICE Mbarrier* full_queries() const {
    return reinterpret_cast<Mbarrier*>(memory + Shape::tiles * Shape::tile_bytes);
  }
  LAIM_DEVICE Mbarrier* full_keys(int i) const { return full_queries() + 1 + i % Shape::stages; }
  LAIM_DEVICE Mbarrier* full_values(int i) const { return full_keys(i) + Shape::stages; }
  LAIM_DEVICE Mbarrier* empty_keys(int i) const { return full_keys(i) + 2 * Shape::stages; }
  LAIM_DEVICE Mbarrier* empty_values(int i) const { return full_keys(i) + 3 * Shape::stages; }
  LAIM_DEVICE static uint32_t parity(int i) { return i / Shape::stages % 2; }

  LAIM_DEVICE void init() const {
    mbarrier_init(full_queries(), 1);
    for (int stage = 0; stage < Shape::stages; ++stage) {
      mbarrier_init(full_keys(stage), 1);
      mbarrier_init(full_values(stage), 1);
      mbarrier_init(empty_keys(stage), Shape::multiplying_warps);
      mbarrier_init(empty_values(stage), Shape::multiplying_warps);
    }
    mbarrier_fence_init();
  }
};

// Scores become weights; returns by what earlier sums shrink.
template <int count, class Visible>
LAIM_DEVICE Pair weigh(float (&scores)[count], RowState& state, float scale, int64_t query, int64_t key,
                       const Visible& visible) {
  scale_scores(column_blocks(scores), scale);
  mask_scores(column_blocks(scores), query, key, visible);
  return softmax_step(column_blocks(scores), state);
}

// pairs: two neighbouring elements of the result are aligned to their size.
template <class Shape, class S>
LAIM_KERNEL(Shape::threads, 1)
wgmma_attention_kernel(LAIM_ARGUMENT AttentionArgs<S> args, LAIM_ARGUMENT TensorMap q_map,
                       LAIM_ARGUMENT TensorMap k_map, LAIM_ARGUMENT TensorMap v_map, LAIM_ARGUMENT bool pairs) {
  const AttentionTiles<Shape> at = {shared_memory()};
  const QueryBlock block = query_block<Shape>(args);
  const int tiles = block.key0 < block.key_end ? int(ceil_div(block.key_end - block.key0, Shape::keys)) : 0;
  const auto first_key = [&](int i) { return block.key0 + int64_t(tiles - 1 - i) * Shape::keys; };
  const int warp = warp_index();
  const bool loads = warp == Shape::multiplying_warps;

  const auto load = [&](uint8_t* to, const TensorMap& map, int64_t head, int64_t row, Mbarrier* full) {
    mbarrier_arrive_expect(full, Shape::tile_bytes);
    load_boxes<Shape>(to, map, block.b, head, row, full);
  };
  const auto load_tiles = [&](int i) {
    if (i >= Shape::stages) mbarrier_wait(at.empty_keys(i), at.parity(i - Shape::stages));
    load(at.keys(i), k_map, block.key_head, first_key(i), at.full_keys(i));
    if (i >= Shape::stages) mbarrier_wait(at.empty_values(i), at.parity(i - Shape::stages));
    load(at.values(i), v_map, block.key_head, first_key(i), at.full_values(i));
  };

  if (thread_index() == 0) at.init();
  block_barrier();
  if (loads && lane_index() == 0 && tiles > 0) {
    load(at.queries(), q_map, block.head, block.query0, at.full_queries());
    load_tiles(0);
  }
  if (loads) warp_barrier();  // what follows is for whole warps
  const int64_t seen_end = block.key0 + int64_t(tiles) * Shape::keys;
  if (tiles > 0 && block.mask.key_length < min(seen_end, args.keys)) {
    if (loads) {
      mbarrier_wait(at.full_values(0), 0);
      clear_rows<Shape>(at.values(0), int(block.mask.key_length - first_key(0)));
      fence_proxy_async();
      warp_barrier();
    }
    block_barrier();
  }
  if (warp >= Shape::multiplying_warps) {
    set_registers<Shape::loading_registers, false>();
    if (loads && lane_index() == 0)
      for (int i = 1; i < tiles; ++i) load_tiles(i);
    return;
  }
  set_registers<Shape::multiplying_registers, true>();

  const int64_t query0 = block.query0 + warp * 16;
  const float scale = float(args.scale) * log2_e;
  RowState state;
  float out[Shape::channels / 2] = {}, scores[Shape::keys / 2];  // 64 rows of a warpgroup
  uint32_t weights[Shape::keys / 16][4];
  // The warpgroups take turns at issuing, so that the softmax of one is under the products of the other.
  const int group = warp / 4;
  const auto take_turn = [&] { named_barrier_wait(1 + group, Shape::multiplying_warps * warp_size); };
  const auto give_turn = [&] { named_barrier_arrive(2 - group, Shape::multiplying_warps * warp_size); };
  const auto visible = [&](int64_t query) { return block.mask.visible(query); };
  // issued and committed
  const auto multiply_keys = [&](int i) {
    multiply_tiles<S, Shape>(scores, at.queries() + group * Shape::warpgroup_queries * 128, at.keys(i));
  };
  const auto multiply_values = [&](int i) { multiply_weights<S, Shape>(out, weights, at.values(i)); };

  if (tiles > 0) {
    if (group == 1) give_turn();
    mbarrier_wait(at.full_queries(), 0);
    mbarrier_wait(at.full_keys(0), 0);
    take_turn();
    multiply_keys(0);
    if (group == 0 || tiles > 1) give_turn();
    wgmma_wait<0>(scores);
    give_back(at.empty_keys(0));
    weigh(scores, state, scale, query0, first_key(0), visible);
    pack_weights<S>(weights, scores);
    for (int i = 1; i < tiles; ++i) {
      mbarrier_wait(at.full_values(i - 1), at.parity(i - 1));
      mbarrier_wait(at.full_keys(i), at.parity(i));
      take_turn();
      multiply_keys(i);
      multiply_values(i - 1);
      if (group == 0 || i + 1 < tiles) give_turn();
      wgmma_wait<1>(scores);
      give_back(at.empty_keys(i));
      const Pair shrink = weigh(scores, state, scale, query0, first_key(i), visible);
      wgmma_wait<0>(out);
      give_back(at.empty_values(i - 1));
      shrink_sums(column_blocks(out), shrink);
      pack_weights<S>(weights, scores);
    }
    mbarrier_wait(at.full_values(tiles - 1), at.parity(tiles - 1));
    multiply_values(tiles - 1);
    wgmma_wait<0>(out);
  }
  store_attention(args, block.b, block.head, query0, column_blocks(out), state, pairs);
}

}  // namespace laim::cuda
