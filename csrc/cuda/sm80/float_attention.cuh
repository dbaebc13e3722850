// Attention forward in fp32 without tensor cores: the algorithm and the pipeline of attention.cuh, with scores and sums
// in the registers of 16x16 threads. Weights pass through shared memory, within the half warp that has their row.
#pragma once
#include "cuda/sm80/blocks.cuh"
#include "cuda/sm80/float_scores.cuh"

namespace laim::cuda {

// channels: D rounded up to 64, 128 or 256; what is beyond D reads as zeros.
template <int channels_>
struct FloatAttentionShape {
  static constexpr int channels = channels_, queries = 64, keys = channels == 64 ? 64 : 32, threads = grid_threads;
  static constexpr int blocks_per_sm = channels <= 128 ? 2 : 1;
  using Queries = FloatTile<queries, channels>;
  using Keys = FloatTile<keys, channels>;
  using Weights = FloatTile<queries, keys>;
  static constexpr int64_t shared_bytes = int64_t(sizeof(float)) * (Queries::size + 2 * Keys::size + Weights::size);
};

template <class Shape>
LAIM_KERNEL(Shape::threads, Shape::blocks_per_sm)
float_attention_kernel(LAIM_ARGUMENT AttentionArgs<float> args) {
  using Keys = typename Shape::Keys;
  constexpr int rows = Shape::queries / grid_side, columns = Shape::keys / grid_side, fours = Shape::channels / 64;
  const typename Shape::Queries queries = {reinterpret_cast<float*>(shared_memory())};
  const Keys keys = {queries.data + queries.size}, values = {keys.data + keys.size};
  const typename Shape::Weights weights = {values.data + values.size};
  const QueryBlock block = query_block<Shape>(args);
  const auto copy = [&](const auto& tile, const View4<const float>& from, int64_t head, int64_t row, int64_t end) {
    const Matrix<const float> all = from.matrix(block.b, head);
    copy_float_tile<Shape::threads>(tile, {all.at(row, 0), all.row_stride, all.column_stride}, end - row,
                                    args.channels);
  };
  const auto copy_keys = [&](const Keys& tile, const View4<const float>& from, int64_t key0) {
    copy(tile, from, block.key_head, key0, block.mask.key_length);
  };

  FloatRowState state[rows];
  const float scale = float(args.scale) * log2_e;
  Four out[rows][fours] = {};
  if (block.key0 < block.key_end) {
    copy(queries, args.q, block.head, block.query0, args.queries);
    copy_keys(keys, args.k, block.key0);
  }
  cp_async_commit();
  for (int64_t key0 = block.key0; key0 < block.key_end; key0 += Shape::keys) {
    cp_async_wait<0>();
    block_barrier();
    copy_keys(values, args.v, key0);
    cp_async_commit();
    float scores[rows][columns] = {};
    multiply_float_rows(scores, queries, keys);
    cp_async_wait<0>();
    block_barrier();
    if (key0 + Shape::keys < block.key_end) copy_keys(keys, args.k, key0 + Shape::keys);
    cp_async_commit();

    scale_and_mask(scores, scale, block.query0, key0, [&](int64_t query) { return block.mask.visible(query); });
    LAIM_UNROLL
    for (int i = 0; i < rows; ++i) scale_row(out[i], softmax_row(scores[i], state[i]));
    store_weights(weights, scores);
    multiply_float_columns(out, weights, values);
  }

  const Matrix<float> to = args.out.matrix(block.b, block.head);
  LAIM_UNROLL
  for (int i = 0; i < rows; ++i) {
    const int64_t query = block.query0 + own_row<rows>(i);
    if (query >= args.queries) continue;
    // A query that sees no key: sum 0, zeros out. A NaN sum is kept: it must reach the output.
    scale_row(out[i], state[i].sum == 0 ? 0.0f : 1 / state[i].sum);
    store_row(to, query, out[i], args.channels);
    if (own_column(0) == 0)
      store_global(args.lse + (block.b * args.query_heads + block.head) * args.queries + query,
                   state[i].sum == 0 ? -INFINITY : state[i].maximum * ln_2 + logf(state[i].sum));
  }
}

}  // namespace laim::cuda
