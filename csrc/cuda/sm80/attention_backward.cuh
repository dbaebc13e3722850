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
#include "core/kernels.h"
#include "cuda/launch.h"
#include "cuda/sm80/softmax.cuh"

namespace laim::cuda {

enum class Side { queries, keys };

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

template <class Shape, class S>
Launch attention_backward_launch(const AttentionArgs<S>& args) {
  const bool keys = Shape::side == Side::keys;
  const int64_t blocks = ceil_div(keys ? args.keys : args.queries, Shape::rows);
  return {uint32_t(blocks * (keys ? args.key_heads : args.query_heads) * args.batch), Shape::parts, 1, Shape::threads,
          Shape::shared_bytes};
}

// delta: (batch, query_heads, queries). A warp takes a query.
struct DeltaShape {
  static constexpr int threads = 128, queries = threads / warp_size;
};
template <class S>
Launch delta_launch(const AttentionArgs<S>& args) {
  return {uint32_t(ceil_div(args.batch * args.query_heads * args.queries, DeltaShape::queries)), 1, 1,
          DeltaShape::threads, 0};
}

template <class S>
LAIM_KERNEL(DeltaShape::threads, 4)
delta_kernel(LAIM_ARGUMENT AttentionBackwardArgs<S> args, float* delta) {
  const AttentionArgs<S>& forward = args.forward;
  const int64_t row = block_x() * DeltaShape::queries + warp_index();
  if (row >= forward.batch * forward.query_heads * forward.queries) return;  // the whole warp
  const int64_t query = row % forward.queries, head = row / forward.queries % forward.query_heads;
  const int64_t b = row / forward.queries / forward.query_heads;
  const S* const out = forward.out.matrix(b, head).at(query, 0);
  const S* const gradient = args.gradient.matrix(b, head).at(query, 0);
  float sum = 0;
  for (int64_t channel = lane_index(); channel < forward.channels; channel += warp_size)
    sum += to_float(load_global(out + channel)) * to_float(load_global(gradient + channel));
  LAIM_UNROLL
  for (int mask = warp_size / 2; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
  if (lane_index() == 0) store_global(delta + row, sum);
}

// Of one query head, from some query on: `count` log-sum-exps and deltas.
struct QueryStates {
  const float *lse, *delta;
  int count;

  // The log-sum-exp to the base 2, and delta; zeros beyond the last query and where it sees no key.
  LAIM_DEVICE Pair at(int i) const {
    if (i >= count) return {0, 0};
    const float own = load_global(lse + i);
    return {own == -INFINITY ? 0.0f : own * log2_e, load_global(delta + i)};
  }
};

// The scores become P, `gradient` (dP) becomes dS. state: that of the query which each of the four elements belongs to.
LAIM_DEVICE void scores_to_gradient(float (&scores)[4], float (&gradient)[4], const Pair (&state)[4]) {
  LAIM_UNROLL
  for (int e = 0; e < 4; ++e) {
    scores[e] = exp2_approx(scores[e] - state[e].first);
    gradient[e] = scores[e] * (gradient[e] - state[e].second);
  }
}

template <class S, int columns>
LAIM_DEVICE void store_rows(const Matrix<S>& to, const float (&sums)[columns][4], float scale, int64_t row,
                            int64_t rows, int channel0, int channels, bool by_chunks) {
  LAIM_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int64_t own = row + lane_index() / 4 + half * 8;
    if (own >= rows) continue;
    S* const out = to.at(own, 0);
    LAIM_UNROLL
    for (int j = 0; j < columns; ++j) {
      const int channel = channel0 + j * 8 + lane_index() % 4 * 2;
      store_pair(out + channel, {sums[j][2 * half] * scale, sums[j][2 * half + 1] * scale}, channels - channel,
                 by_chunks);
    }
  }
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

  const int64_t heads = keys_own ? forward.key_heads : forward.query_heads;
  const int64_t own_rows = keys_own ? forward.keys : forward.queries;
  const int64_t blocks = ceil_div(own_rows, Shape::rows), group = forward.query_heads / forward.key_heads;
  const int64_t block_row = block_x() % blocks * Shape::rows;
  const int64_t head = block_x() / blocks % heads, b = block_x() / blocks / heads;
  const Mask mask = forward.mask(b);
  const int64_t last_row = min(block_row + Shape::rows, own_rows) - 1;
  const Interval seen = keys_own ? mask.seeing_any(block_row, last_row) : mask.visible_to_any(block_row, last_row);
  const int64_t stream0 = seen.begin / Shape::streamed * Shape::streamed;
  const int tiles = seen.begin < seen.end ? int(ceil_div(seen.end - stream0, Shape::streamed)) : 0;
  const int steps = keys_own ? tiles * int(group) : tiles;

  const auto query_head = [&](int i) { return keys_own ? head * group + i / tiles : head; };
  const auto copy = [&](const auto& tile, const View4<const S>& from, int64_t h, int64_t row, int64_t rows) {
    copy_tile<Shape::threads>(tile, rows_from(from, b, h, row, rows, forward.channels, by_chunks));
  };
  const auto copy_streamed = [&](int i) {
    const int64_t row = stream0 + i % tiles * Shape::streamed;
    const int64_t h = keys_own ? query_head(i) : head / group, rows = keys_own ? forward.queries : mask.key_length;
    copy(first_tile(i), keys_own ? forward.q : forward.k, h, row, rows);
    copy(second_tile(i), keys_own ? args.gradient : forward.v, h, row, rows);
  };

  const int row0 = warp_index() * 16;
  const int part = int(block_y()) * Shape::out_channels;
  const float scale = float(forward.scale) * log2_e;
  float sum_first[out_columns][4] = {};                                   // dQ or dK
  [[maybe_unused]] float sum_second[keys_own ? out_columns : 1][4] = {};  // dV
  if (steps > 0) {
    const int64_t rows = keys_own ? mask.key_length : forward.queries;
    copy(own_first, keys_own ? forward.k : forward.q, head, block_row, rows);
    copy(own_second, keys_own ? forward.v : args.gradient, head, block_row, rows);
    copy_streamed(0);
  }
  cp_async_commit();

  const auto states_from = [&](int64_t h, int64_t query) {
    const int64_t offset = (b * forward.query_heads + h) * forward.queries + query;
    return QueryStates{forward.lse + offset, delta + offset, int(min<int64_t>(forward.queries - query, Shape::rows))};
  };
  Pair row_state[2] = {};
  if constexpr (!keys_own) {
    const QueryStates states = states_from(head, block_row);
    for (int half = 0; half < 2; ++half) row_state[half] = states.at(row0 + lane_index() / 4 + half * 8);
  }

  for (int i = 0; i < steps; ++i) {
    cp_async_wait<0>();
    block_barrier();
    if (i + 1 < steps) copy_streamed(i + 1);
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
    const int64_t stream_row = stream0 + i % tiles * Shape::streamed;
    scale_scores(scores, scale);
    mask_scores(scores, block_row + row0, stream_row,
                [&](int64_t row) { return keys_own ? mask.seeing_any(row, row) : mask.visible(row); });
    if constexpr (keys_own) {
      const QueryStates states = states_from(query_head(i), stream_row);
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

  const int64_t own_row = block_row + row0;
  store_rows((keys_own ? args.gradient_k : args.gradient_q).matrix(b, head), sum_first, float(forward.scale), own_row,
             own_rows, part, int(forward.channels), by_chunks);
  if constexpr (keys_own)
    store_rows(args.gradient_v.matrix(b, head), sum_second, 1.0f, own_row, own_rows, part, int(forward.channels),
               by_chunks);
}

}  // namespace laim::cuda
