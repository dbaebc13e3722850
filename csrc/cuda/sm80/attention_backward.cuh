// Attention backward: probabilities are made again from Q, K and the saved log-sum-exp, tile by tile.
//
//   P = exp(scale Q K^T - lse), dV = P^T dO, dP = dO V^T, dS = P (dP - delta), delta = rowsum(dO O),
//   dQ = scale dS K, dK = scale dS^T Q                                     (Dao 2023, algorithm 2)
//
// One kernel, launched twice. A block owns 64 rows and streams the other side past them:
//
//   Side::queries   owns Q, dO    streams K, V     rows are queries           dQ
//   Side::keys      owns K, V     streams Q, dO    rows are keys, P^T, dS^T   dK, dV; all query heads of the key head
//
// That makes P twice (7 products instead of 5), and in return nothing is summed across blocks: no atomics, the same
// bits every time. Streamed tiles go through two stages; one barrier for each:  wait(i) barrier  copy(i + 1)
// compute(i).
#pragma once
#include "cuda/sm80/blocks.cuh"
#include "cuda/sm80/delta.cuh"
#include "cuda/sm80/softmax.cuh"

namespace laim::cuda {

// channels as in the forward. With 256 of them the sums for all would not fit into registers: a block makes those of
// 128.
template <Side side_, int channels_>
struct BackwardShape {
  static constexpr Side side = side_;
  static constexpr int channels = channels_, out_channels = channels < 128 ? channels : 128;
  static constexpr int parts = channels / out_channels;
  static constexpr int rows = 64, threads = 128, streamed = channels <= 128 ? 32 : 16;
  static constexpr int64_t own_bytes = 2 * channels * rows, stream_bytes = 2 * channels * streamed;
  static constexpr int64_t shared_bytes = 2 * own_bytes + 2 * 2 * stream_bytes;
};

// state: that of the query which each of the four elements belongs to.
LAIM_DEVICE void scores_to_gradient(float (&scores)[4], float (&gradient)[4], const Pair (&state)[4]) {
  LAIM_UNROLL
  for (int e = 0; e < 4; ++e) score_to_gradient(scores[e], gradient[e], state[e]);
}

template <class Shape, class S>
LAIM_KERNEL(Shape::threads, 1)
attention_backward_kernel(LAIM_ARGUMENT AttentionBackwardArgs<S> args, const float* delta,
                          LAIM_ARGUMENT bool by_chunks) {
  constexpr bool keys_own = Shape::side == Side::keys;
  using Own = Tile<S, Shape::rows, Shape::channels>;
  using Streamed = Tile<S, Shape::streamed, Shape::channels>;
  constexpr int columns = Shape::streamed / 8, out_columns = Shape::out_channels / 8;
  const AttentionArgs<S>& forward = args.forward;
  const Own own_first = {reinterpret_cast<S*>(shared_memory())};
  const Own own_second = {own_first.data + Shape::rows * Shape::channels};
  const auto first_tile = [&](int i) {
    return Streamed{own_second.data + (Shape::rows + i % 2 * 2 * Shape::streamed) * Shape::channels};
  };
  const auto second_tile = [&](int i) { return Streamed{first_tile(i).data + Shape::streamed * Shape::channels}; };

  const StreamingBlock<Shape> block = streaming_block<Shape>(forward);
  const auto copy = [&](const auto& tile, const View4<const S>& from, int64_t h, int64_t row, int64_t rows) {
    copy_tile<Shape::threads>(tile, rows_from(from, block.b, h, row, rows, forward.channels, by_chunks));
  };
  const auto copy_streamed = [&](int i) {
    const int64_t h = block.stream_head(i), row = block.stream_row(i);
    copy(first_tile(i), keys_own ? forward.q : forward.k, h, row, block.stream_end());
    copy(second_tile(i), keys_own ? args.gradient : forward.v, h, row, block.stream_end());
  };

  const int row0 = warp_index() * 16;
  const int part = int(block_y()) * Shape::out_channels;
  const float scale = float(forward.scale) * log2_e;
  float sum_first[out_columns][4] = {};                                   // dQ or dK
  [[maybe_unused]] float sum_second[keys_own ? out_columns : 1][4] = {};  // dV
  if (block.steps > 0) {
    copy(own_first, keys_own ? forward.k : forward.q, block.head, block.row, block.own_end());
    copy(own_second, keys_own ? forward.v : args.gradient, block.head, block.row, block.own_end());
    copy_streamed(0);
  }
  cp_async_commit();

  Pair row_state[2] = {};
  if constexpr (!keys_own) {
    const QueryStates states = query_states(forward, delta, block.b, block.head, block.row);
    for (int half = 0; half < 2; ++half) row_state[half] = states.at(row0 + lane_index() / 4 + half * 8);
  }

  for (int i = 0; i < block.steps; ++i) {
    cp_async_wait<0>();
    block_barrier();
    if (i + 1 < block.steps) copy_streamed(i + 1);
    cp_async_commit();
    const Streamed first = first_tile(i), second = second_tile(i);
    float scores[columns][4] = {}, gradient[columns][4] = {};
    // all steps at once, their addresses would take the registers that the sums need
    LAIM_UNROLL_BY(2)
    for (int step = 0; step < Shape::channels / 16; ++step) {
      uint32_t left[4];
      load_left(left, own_first, row0, step);
      multiply_rows<S>(scores, left, first, step);
      load_left(left, own_second, row0, step);
      multiply_rows<S>(gradient, left, second, step);
    }
    const int64_t stream_row = block.stream_row(i);
    scale_scores(scores, scale);
    mask_scores(scores, block.row + row0, stream_row, [&](int64_t row) { return block.visible(row); });
    if constexpr (keys_own) {
      const QueryStates states = query_states(forward, delta, block.b, block.query_head(i), stream_row);
      LAIM_UNROLL
      for (int j = 0; j < columns; ++j) {
        const int query = j * 8 + lane_index() % 4 * 2;
        const Pair left = states.at(query), right = states.at(query + 1);
        scores_to_gradient(scores[j], gradient[j], {left, right, left, right});
      }
    } else {
      LAIM_UNROLL
      for (int j = 0; j < columns; ++j)
        scores_to_gradient(scores[j], gradient[j], {row_state[0], row_state[0], row_state[1], row_state[1]});
    }
    LAIM_UNROLL
    for (int step = 0; step < Shape::streamed / 16; ++step) {
      uint32_t left[4];
      pack_left<S>(left, gradient, step);
      multiply_columns<S>(sum_first, left, first, step, part);
      if constexpr (keys_own) {
        pack_left<S>(left, scores, step);
        multiply_columns<S>(sum_second, left, second, step, part);
      }
    }
  }

  const int64_t own_row = block.row + row0;
  store_rows((keys_own ? args.gradient_k : args.gradient_q).matrix(block.b, block.head), sum_first,
             float(forward.scale), own_row, block.rows, part, int(forward.channels), by_chunks);
  if constexpr (keys_own)
    store_rows(args.gradient_v.matrix(block.b, block.head), sum_second, 1.0f, own_row, block.rows, part,
               int(forward.channels), by_chunks);
}

}  // namespace laim::cuda
