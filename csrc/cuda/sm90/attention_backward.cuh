// Attention backward for sm_90a: the mathematics, the two sides and the masks of sm80/attention_backward.cuh (two
// launches of one kernel, no atomics), in a pipeline of TMA and wgmma. bf16 or fp16 of 64 or 128 channels, sums in
// fp32.
//
//   Side::queries   owns Q, dO    streams K, V     rows are queries           dQ
//   Side::keys      owns K, V     streams Q, dO    rows are keys, P^T, dS^T   dK, dV; all query heads of the key head
//
// A block owns 128 rows. One warp loads, two warpgroups multiply, each for 64 of the rows. What is owned is loaded
// once; what is streamed goes, 64 rows of both tensors at a time, through a ring of stages with two mbarriers each
// (full, empty) as those of the product (gemm.cuh). Of a side's two tensors, Q and dO or K and V, the one is `first`,
// the other `second`. Products are issued a step ahead of what they make:
//
//   wait(full i)   issue S = own_first first^T     the sums of i - 1 are there: give i - 1 back
//                  issue dP = own_second second^T  S is there: P
//                  issue dV += P second            dP is there: dS
//                  issue dK or dQ += dS first      waited for when the next S has been issued
//
// P and dS are left operands from registers.
//
// Steps come last first, so that what is special is at the beginning: the tile in which key lengths end.
#pragma once
#include "cuda/sm80/blocks.cuh"
#include "cuda/sm80/delta.cuh"
#include "cuda/sm90/heads.cuh"

namespace laim::cuda {

template <Side side_, int channels_>
struct WgmmaBackwardShape {
  static constexpr Side side = side_;
  static constexpr bool keys_own = side == Side::keys;
  static constexpr int channels = channels_, parts = 1, rows = 128, streamed = 64, stages = 3;
  static constexpr int warpgroups = 2, multiplying_warps = 4 * warpgroups;
  // The loading warp's warpgroup gives its registers to the others: at 128 channels the sums for dK and dV, two tiles
  // of scores and P and dS as operands are 224 of a thread, more than twelve warps have otherwise.
  static constexpr int threads = (multiplying_warps + 4) * warp_size;
  static constexpr int loading_registers = 24, multiplying_registers = 240;
  // 64 rows are what a warpgroup owns and what a stage holds of each tensor.
  static constexpr int tile_rows = 64, boxes = channels / box_columns, box_bytes = tile_rows * box_columns * 2,
                       tile_bytes = boxes * box_bytes;
  static constexpr int own_tiles = 2 * warpgroups, tiles = own_tiles + 2 * stages, mbarriers = 1 + 2 * stages;
  // Of each warp: the log-sum-exps and the deltas of the queries of a tile.
  static constexpr int state_floats = 2 * streamed, states = keys_own ? multiplying_warps * state_floats : 0;
  static constexpr int64_t shared_bytes =
      tiles * tile_bytes + states * int64_t(sizeof(float)) + mbarriers * int64_t(sizeof(Mbarrier));
  static_assert(rows == warpgroups * tile_rows && streamed == tile_rows, "one size of tile for all");
};

// The block's shared memory: where the tiles of a warpgroup and of the i-th step lie, and the mbarriers.
template <class Shape>
struct BackwardTiles {
  uint8_t* memory;

  LAIM_DEVICE uint8_t* tile(int n) const { return memory + n * Shape::tile_bytes; }
  LAIM_DEVICE uint8_t* own_first(int group) const { return tile(group); }
  LAIM_DEVICE uint8_t* own_second(int group) const { return tile(Shape::warpgroups + group); }
  LAIM_DEVICE uint8_t* first(int i) const { return tile(Shape::own_tiles + i % Shape::stages); }
  LAIM_DEVICE uint8_t* second(int i) const { return tile(Shape::own_tiles + Shape::stages + i % Shape::stages); }
  LAIM_DEVICE float* lse(int warp) const {
    return reinterpret_cast<float*>(tile(Shape::tiles)) + warp * Shape::state_floats;
  }
  LAIM_DEVICE float* delta(int warp) const { return lse(warp) + Shape::streamed; }
  LAIM_DEVICE Mbarrier* full_own() const {
    return reinterpret_cast<Mbarrier*>(reinterpret_cast<float*>(tile(Shape::tiles)) + Shape::states);
  }
  LAIM_DEVICE Mbarrier* full(int i) const { return full_own() + 1 + i % Shape::stages; }
  LAIM_DEVICE Mbarrier* empty(int i) const { return full(i) + Shape::stages; }
  LAIM_DEVICE static uint32_t parity(int i) { return i / Shape::stages % 2; }

  LAIM_DEVICE void init() const {
    mbarrier_init(full_own(), 1);
    for (int stage = 0; stage < Shape::stages; ++stage) {
      mbarrier_init(full(stage), 1);
      mbarrier_init(empty(stage), Shape::multiplying_warps);
    }
    mbarrier_fence_init();
  }
};

// The maps of queries, keys, values and of the result's gradient. Returns nullptr, or why TMA cannot take them.
template <class S>
const char* backward_maps(const AttentionBackwardArgs<S>& args, int box_rows, TensorMap* q, TensorMap* k, TensorMap* v,
                          TensorMap* gradient) {
  const AttentionArgs<S>& forward = args.forward;
  const char* error = attention_maps(forward, box_rows, q, k, v);
  return error ? error
               : make_tensor_map(gradient, args.gradient, forward.batch, forward.query_heads, forward.queries,
                                 forward.channels, box_rows);
}

// own_first, own_second: of what the side owns. pairs: two neighbouring elements of the gradients are aligned to their
// size.
template <class Shape, class S>
LAIM_KERNEL(Shape::threads, 1)
wgmma_attention_backward_kernel(LAIM_ARGUMENT AttentionBackwardArgs<S> args, const float* delta,
                                LAIM_ARGUMENT TensorMap own_first, LAIM_ARGUMENT TensorMap own_second,
                                LAIM_ARGUMENT TensorMap first, LAIM_ARGUMENT TensorMap second,
                                LAIM_ARGUMENT bool pairs) {
  constexpr bool keys_own = Shape::keys_own;
  const AttentionArgs<S>& forward = args.forward;
  const BackwardTiles<Shape> at = {shared_memory()};
  const StreamingBlock<Shape> block = streaming_block<Shape>(forward);
  const auto step_of = [&](int i) { return block.steps - 1 - i; };
  const int warp = warp_index(), lane = lane_index();
  const bool loads = warp == Shape::multiplying_warps;

  const auto load = [&](uint8_t* to, const TensorMap& map, int64_t head, int64_t row, Mbarrier* full) {
    load_boxes<Shape>(to, map, block.b, head, row, full);
  };
  const auto load_own = [&] {
    mbarrier_arrive_expect(at.full_own(), Shape::own_tiles * Shape::tile_bytes);
    for (int group = 0; group < Shape::warpgroups; ++group) {
      load(at.own_first(group), own_first, block.head, block.row + group * Shape::tile_rows, at.full_own());
      load(at.own_second(group), own_second, block.head, block.row + group * Shape::tile_rows, at.full_own());
    }
  };
  const auto load_streamed = [&](int i) {
    const int64_t head = block.stream_head(step_of(i)), row = block.stream_row(step_of(i));
    if (i >= Shape::stages) mbarrier_wait(at.empty(i), at.parity(i - Shape::stages));
    mbarrier_arrive_expect(at.full(i), 2 * Shape::tile_bytes);
    load(at.first(i), first, head, row, at.full(i));
    load(at.second(i), second, head, row, at.full(i));
  };

  if (thread_index() == 0) at.init();
  block_barrier();
  if (loads && lane == 0 && block.steps > 0) {
    load_own();
    load_streamed(0);
  }
  if (loads) warp_barrier();  // what follows is for whole warps
  const int64_t key0 = keys_own ? block.row : block.stream0 + int64_t(block.tiles - 1) * Shape::streamed;
  const int64_t loaded_end = min(key0 + (keys_own ? Shape::rows : Shape::streamed), forward.keys);
  if (block.steps > 0 && block.mask.key_length < loaded_end) {
    if (loads) {
      mbarrier_wait(keys_own ? at.full_own() : at.full(0), 0);
      const int key_length = int(block.mask.key_length - key0);
      if constexpr (keys_own) {
        for (int group = 0; group < Shape::warpgroups; ++group) {
          const int length = int(clamp(key_length - group * Shape::tile_rows, 0, Shape::tile_rows));
          clear_rows<Shape>(at.own_first(group), length);
          clear_rows<Shape>(at.own_second(group), length);
        }
      } else {
        clear_rows<Shape>(at.first(0), key_length);
        clear_rows<Shape>(at.second(0), key_length);
      }
      fence_proxy_async();
      warp_barrier();
    }
    block_barrier();
  }
  if (warp >= Shape::multiplying_warps) {
    set_registers<Shape::loading_registers, false>();
    if (loads && lane == 0)
      for (int i = 1; i < block.steps; ++i) load_streamed(i);
    return;
  }
  set_registers<Shape::multiplying_registers, true>();

  constexpr int count = Shape::streamed / 2, sums = Shape::channels / 2, operands = Shape::streamed / 16;
  const int group = warp / 4;
  const int64_t own_row = block.row + warp * 16;
  const float scale = float(forward.scale) * log2_e;
  float scores[count], gradient[count];  // a warpgroup's 64x64: S, then P; dP, then dS
  [[maybe_unused]] uint32_t weights[operands][4];
  uint32_t score_gradients[operands][4];
  float sum_first[sums] = {};                                   // dQ or dK
  [[maybe_unused]] float sum_second[keys_own ? sums : 1] = {};  // dV

  // Side::queries: a lane has two rows, and their queries' states in registers.
  [[maybe_unused]] Pair row_lse = {}, row_delta = {};
  if constexpr (!keys_own) {
    const QueryStates states = query_states(forward, delta, block.b, block.head, own_row);
    const Pair low = states.at(lane / 4), high = states.at(lane / 4 + 8);
    row_lse = {low.first, high.first}, row_delta = {low.second, high.second};
  }
  // Side::keys: queries are columns, of which every lane has others; their states go through shared memory of the warp.
  const auto of_columns = [&](const float* states, int j) {
    return load_shared(reinterpret_cast<const Pair*>(states + j * 8 + lane % 4 * 2));
  };
  // body(k, lse or delta) for each score k.
  const auto each_score = [&](const float* of_queries, Pair of_rows, const auto& body) {
    LAIM_UNROLL
    for (int j = 0; j < count / 4; ++j) {
      const Pair both = keys_own ? of_columns(of_queries, j) : of_rows;
      LAIM_UNROLL
      for (int e = 0; e < 4; ++e) body(4 * j + e, (keys_own ? e % 2 : e / 2) == 0 ? both.first : both.second);
    }
  };

  if (block.steps > 0) mbarrier_wait(at.full_own(), 0);
  for (int i = 0; i < block.steps; ++i) {
    const int64_t stream_row = block.stream_row(step_of(i));
    [[maybe_unused]] Pair states[2] = {};  // of two of the queries, on their way while the tile is waited for
    if constexpr (keys_own) {
      const QueryStates all = query_states(forward, delta, block.b, block.query_head(step_of(i)), stream_row);
      states[0] = all.branchless_at(lane), states[1] = all.branchless_at(lane + warp_size);
    }
    mbarrier_wait(at.full(i), at.parity(i));
    multiply_tiles<S, Shape>(scores, at.own_first(group), at.first(i));
    wgmma_wait<1>(sum_first);
    keep_order(sum_second);
    if (i > 0) give_back(at.empty(i - 1));
    multiply_tiles<S, Shape>(gradient, at.own_second(group), at.second(i));
    if constexpr (keys_own) {
      warp_barrier();  // all lanes are done with those of i - 1
      LAIM_UNROLL
      for (int half = 0; half < 2; ++half) {
        store_shared(at.lse(warp) + lane + half * warp_size, states[half].first);
        store_shared(at.delta(warp) + lane + half * warp_size, states[half].second);
      }
      warp_barrier();
    }

    wgmma_wait<1>(scores);
    scale_scores(column_blocks(scores), scale);
    mask_scores(column_blocks(scores), own_row, stream_row, [&](int64_t row) { return block.visible(row); });
    each_score(at.lse(warp), row_lse, [&](int k, float lse) { score_to_weight(scores[k], lse); });
    if constexpr (keys_own) {
      pack_weights<S>(weights, scores);
      multiply_weights<S, Shape>(sum_second, weights, at.second(i));
    }
    wgmma_wait<keys_own ? 1 : 0>(gradient);
    each_score(at.delta(warp), row_delta,
               [&](int k, float of_query) { weight_to_gradient(scores[k], gradient[k], of_query); });
    pack_weights<S>(score_gradients, gradient);
    multiply_weights<S, Shape>(sum_first, score_gradients, at.first(i));
  }
  wgmma_wait<0>(sum_first);
  keep_order(sum_second);

  const auto store = [&](const View4<S>& to, auto& sum, float by) {
    store_rows(to.matrix(block.b, block.head), column_blocks(sum), by, own_row, block.rows, 0, Shape::channels, pairs);
  };
  store(keys_own ? args.gradient_k : args.gradient_q, sum_first, float(forward.scale));
  if constexpr (keys_own) store(args.gradient_v, sum_second, 1.0f);
}

}  // namespace laim::cuda
