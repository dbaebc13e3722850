// Attention backward in fp32 without tensor cores: the equations, the two sides and the pipeline of
// attention_backward.cuh, with scores and sums in the registers of 16x16 threads.
#pragma once
#include "cuda/sm80/blocks.cuh"
#include "cuda/sm80/delta.cuh"
#include "cuda/sm80/float_scores.cuh"

namespace laim::cuda {

// channels as in the forward. With 256 of them 64 rows would not fit into shared memory.
template <Side side_, int channels_>
struct FloatBackwardShape {
  static constexpr Side side = side_;
  static constexpr int channels = channels_, parts = 1, threads = grid_threads;
  static constexpr int rows = channels <= 128 ? 64 : 32, streamed = channels <= 128 ? 32 : 16;
  using Own = FloatTile<rows, channels>;
  using Streamed = FloatTile<streamed, channels>;
  using Weights = FloatTile<rows, streamed>;
  static constexpr int64_t shared_bytes =
      int64_t(sizeof(float)) * (2 * Own::size + 2 * 2 * Streamed::size + Weights::size);
};

template <class Shape>
LAIM_KERNEL(Shape::threads, 1)
float_attention_backward_kernel(LAIM_ARGUMENT AttentionBackwardArgs<float> args, const float* delta) {
  constexpr bool keys_own = Shape::side == Side::keys;
  using Own = typename Shape::Own;
  using Streamed = typename Shape::Streamed;
  constexpr int rows = Shape::rows / grid_side, columns = Shape::streamed / grid_side, fours = Shape::channels / 64;
  const AttentionArgs<float>& forward = args.forward;
  const Own own_first = {reinterpret_cast<float*>(shared_memory())}, own_second = {own_first.data + Own::size};
  const typename Shape::Weights weights = {own_second.data + Own::size};
  const auto first_tile = [&](int i) {
    return Streamed{weights.data + Shape::Weights::size + i % 2 * 2 * Streamed::size};
  };
  const auto second_tile = [&](int i) { return Streamed{first_tile(i).data + Streamed::size}; };

  const StreamingBlock<Shape> block = streaming_block<Shape>(forward);
  const auto copy = [&](const auto& tile, const View4<const float>& from, int64_t head, int64_t row, int64_t end) {
    const Matrix<const float> all = from.matrix(block.b, head);
    copy_float_tile<Shape::threads>(tile, {all.at(row, 0), all.row_stride, all.column_stride}, end - row,
                                    forward.channels);
  };
  const auto copy_streamed = [&](int i) {
    const int64_t head = block.stream_head(i), row = block.stream_row(i);
    copy(first_tile(i), keys_own ? forward.q : forward.k, head, row, block.stream_end());
    copy(second_tile(i), keys_own ? args.gradient : forward.v, head, row, block.stream_end());
  };

  const float scale = float(forward.scale) * log2_e;
  Four sum_first[rows][fours] = {};                                   // dQ or dK
  [[maybe_unused]] Four sum_second[rows][keys_own ? fours : 1] = {};  // dV
  if (block.steps > 0) {
    copy(own_first, keys_own ? forward.k : forward.q, block.head, block.row, block.own_end());
    copy(own_second, keys_own ? forward.v : args.gradient, block.head, block.row, block.own_end());
    copy_streamed(0);
  }
  cp_async_commit();

  // of the queries of a thread's own rows, or of its columns
  Pair state[keys_own ? columns : rows] = {};
  if constexpr (!keys_own) {
    const QueryStates states = query_states(forward, delta, block.b, block.head, block.row);
    for (int i = 0; i < rows; ++i) state[i] = states.at(own_row<rows>(i));
  }

  for (int step = 0; step < block.steps; ++step) {
    cp_async_wait<0>();
    block_barrier();
    if (step + 1 < block.steps) copy_streamed(step + 1);
    cp_async_commit();
    const Streamed first = first_tile(step), second = second_tile(step);
    float scores[rows][columns] = {}, gradient[rows][columns] = {};
    multiply_float_rows(scores, own_first, first);
    multiply_float_rows(gradient, own_second, second);
    const int64_t stream_row = block.stream_row(step);
    scale_and_mask(scores, scale, block.row, stream_row, [&](int64_t row) { return block.visible(row); });
    if constexpr (keys_own) {
      const QueryStates states = query_states(forward, delta, block.b, block.query_head(step), stream_row);
      LAIM_UNROLL
      for (int j = 0; j < columns; ++j) state[j] = states.at(own_column(j));
    }
    LAIM_UNROLL
    for (int i = 0; i < rows; ++i) {
      LAIM_UNROLL
      for (int j = 0; j < columns; ++j) score_to_gradient(scores[i][j], gradient[i][j], state[keys_own ? j : i]);
    }
    store_weights(weights, gradient);
    multiply_float_columns(sum_first, weights, first);
    if constexpr (keys_own) {
      warp_barrier();  // the weights of dK have been read
      store_weights(weights, scores);
      multiply_float_columns(sum_second, weights, second);
    }
  }

  const Matrix<float> to_first = (keys_own ? args.gradient_k : args.gradient_q).matrix(block.b, block.head);
  LAIM_UNROLL
  for (int i = 0; i < rows; ++i) {
    const int64_t row = block.row + own_row<rows>(i);
    if (row >= block.rows) continue;
    scale_row(sum_first[i], float(forward.scale));
    store_row(to_first, row, sum_first[i], forward.channels);
    if constexpr (keys_own)
      store_row(args.gradient_v.matrix(block.b, block.head), row, sum_second[i], forward.channels);
  }
}

}  // namespace laim::cuda
