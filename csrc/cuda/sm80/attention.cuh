// Attention forward: scores of a block of queries against a block of keys, online softmax in registers, sums of values
// (Dao 2023, FlashAttention-2, algorithm 1). bf16 or fp16, sums in fp32.
//
// A block of four warps takes 64 queries of one head, 16 each warp. Keys and values share a pipeline of depth one each:
// values are on their way while scores are made, the next keys while values are summed.
//
//   wait(K i) barrier  copy(V i)      S = Q K^T        the barrier also says: all are done with V i - 1
//   wait(V i) barrier  copy(K i + 1)  softmax, O += P V                  ... with K i
#pragma once
#include "cuda/sm80/blocks.cuh"
#include "cuda/sm80/softmax.cuh"

namespace laim::cuda {

// channels: D rounded up to 32, 64, 128 or 256; what is beyond D reads as zeros.
template <int channels_>
struct AttentionShape {
  static constexpr int channels = channels_, queries = 64, keys = channels == 256 ? 32 : 64, threads = 128;
  // the addresses of all 16 steps of 256 channels would take the registers that the sums need
  static constexpr int steps_at_once = channels == 256 ? 2 : channels / 16;
  static constexpr int64_t shared_bytes = 2 * channels * (queries + 2 * keys);
};

template <class Shape, class S>
LAIM_KERNEL(Shape::threads, 1)
attention_kernel(LAIM_ARGUMENT AttentionArgs<S> args, LAIM_ARGUMENT bool by_chunks) {
  using Queries = Tile<S, Shape::queries, Shape::channels>;
  using Keys = Tile<S, Shape::keys, Shape::channels>;
  constexpr int steps = Shape::channels / 16, score_columns = Shape::keys / 8, out_columns = Shape::channels / 8;
  const Queries queries = {reinterpret_cast<S*>(shared_memory())};
  const Keys keys = {queries.data + Shape::queries * Shape::channels};
  const Keys values = {keys.data + Shape::keys * Shape::channels};

  const QueryBlock block = query_block<Shape>(args);
  const auto copy = [&](const Keys& tile, const View4<const S>& from, int64_t key0) {
    copy_tile<Shape::threads>(
        tile, rows_from(from, block.b, block.key_head, key0, block.mask.key_length, args.channels, by_chunks));
  };

  const int row0 = warp_index() * 16;  // of this warp, in the block
  RowState state;
  const float scale = float(args.scale) * log2_e;
  float out[out_columns][4] = {};
  if (block.key0 < block.key_end) {
    copy_tile<Shape::threads>(
        queries, rows_from(args.q, block.b, block.head, block.query0, args.queries, args.channels, by_chunks));
    copy(keys, args.k, block.key0);
  }
  cp_async_commit();
  for (int64_t key0 = block.key0; key0 < block.key_end; key0 += Shape::keys) {
    cp_async_wait<0>();
    block_barrier();
    copy(values, args.v, key0);
    cp_async_commit();

    float scores[score_columns][4] = {};
    LAIM_UNROLL_BY(Shape::steps_at_once)
    for (int step = 0; step < steps; ++step) {
      uint32_t q[4];
      load_left(q, queries, row0, step);
      multiply_rows<S>(scores, q, keys, step);
    }
    cp_async_wait<0>();
    block_barrier();
    if (key0 + Shape::keys < block.key_end) copy(keys, args.k, key0 + Shape::keys);
    cp_async_commit();

    scale_scores(scores, scale);
    mask_scores(scores, block.query0 + row0, key0, [&](int64_t query) { return block.mask.visible(query); });
    const Pair shrink = softmax_step(scores, state);
    shrink_sums(out, shrink);
    LAIM_UNROLL
    for (int step = 0; step < Shape::keys / 16; ++step) {
      uint32_t p[4];
      pack_left<S>(p, scores, step);
      multiply_columns<S>(out, p, values, step);
    }
  }

  store_attention(args, block.b, block.head, block.query0 + row0, out, state, by_chunks);
}

}  // namespace laim::cuda
