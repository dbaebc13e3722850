// What attention forward and backward do to scores in registers: a warp holds 16 rows in the layout of mma's result, so
// a lane has two rows, lane / 4 and that plus 8, and of each block of eight columns two, 2 (lane % 4) and the next.
#pragma once
#include "core/kernels.h"
#include "cuda/sm80/tile.cuh"

namespace laim::cuda {

// Rows [row, rows) of one head; the rest of a tile reads as zeros.
template <class S>
LAIM_DEVICE Source<S> rows_from(const View4<const S>& view, int64_t b, int64_t h, int64_t row, int64_t rows,
                                int64_t channels, bool by_chunks) {
  return {view.matrix(b, h).at(row, 0), view.row, rows - row, channels, by_chunks};
}

// sums[j] += rows x (rows 8 j.. of the tile)^T, for one step of 16 columns of the tile.
template <class S, int columns, class T>
LAIM_DEVICE void multiply_rows(float (&sums)[columns][4], const uint32_t (&left)[4], const T& tile, int step,
                               Site site = Site()) {
  LAIM_UNROLL
  for (int j = 0; j < columns; j += 2) {
    uint32_t right[4];
    load_right(right, tile, j * 8, step, site);
    mma_16816<S>(sums[j], left, right[0], right[1]);
    mma_16816<S>(sums[j + 1], left, right[2], right[3]);
  }
}

// sums[j] += rows x (columns first + 8 j.. of the tile), for one step of 16 rows of the tile.
template <class S, int columns, class T>
LAIM_DEVICE void multiply_columns(float (&sums)[columns][4], const uint32_t (&left)[4], const T& tile, int step,
                                  int first = 0, Site site = Site()) {
  LAIM_UNROLL
  for (int j = 0; j < columns; j += 2) {
    uint32_t right[4];
    load_right_straight(right, tile, first + j * 8, step, site);
    mma_16816<S>(sums[j], left, right[0], right[1]);
    mma_16816<S>(sums[j + 1], left, right[2], right[3]);
  }
}

// Results of a product as the left operand of the next: columns [16 step, ...).
template <class S, int columns>
LAIM_DEVICE void pack_left(uint32_t (&left)[4], const float (&results)[columns][4], int step) {
  const auto &low = results[2 * step], &high = results[2 * step + 1];
  left[0] = pack<S>(low[0], low[1]);
  left[1] = pack<S>(low[2], low[3]);
  left[2] = pack<S>(high[0], high[1]);
  left[3] = pack<S>(high[2], high[3]);
}

template <int columns>
LAIM_DEVICE void scale_scores(float (&scores)[columns][4], float scale) {
  LAIM_UNROLL
  for (int j = 0; j < columns; ++j) {
    LAIM_UNROLL
    for (int e = 0; e < 4; ++e) scores[j][e] *= scale;
  }
}

// Scores where a query does not see a key become -inf. Rows and columns begin at `row` and `column`; visible(row) is
// the interval of columns whose scores stay: keys of a query, or queries of a key. Its ends never decrease from row to
// row, but for keys that are padding, which come last and have none.
template <int columns, class Visible>
LAIM_DEVICE void mask_scores(float (&scores)[columns][4], int64_t row, int64_t column, const Visible& visible) {
  const Interval first = visible(row), last = visible(row + 15);
  if (max(first.begin, last.begin) <= column && column + columns * 8 <= min(first.end, last.end))
    return;  // all of them
  LAIM_UNROLL
  for (int half = 0; half < 2; ++half) {
    const Interval own = visible(row + lane_index() / 4 + half * 8);
    const int begin = int(clamp(own.begin - column, 0, columns * 8)),
              end = int(clamp(own.end - column, 0, columns * 8));
    LAIM_UNROLL
    for (int j = 0; j < columns; ++j) {
      LAIM_UNROLL
      for (int e = 0; e < 2; ++e) {
        const int at = j * 8 + lane_index() % 4 * 2 + e;
        if (at < begin || at >= end) scores[j][2 * half + e] = -INFINITY;
      }
    }
  }
}

// The largest score of each of a lane's two rows so far, and the sum of 2^(score - largest).
struct RowState {
  Pair maximum = {-INFINITY, -INFINITY}, sum = {0, 0};
};

// Over the four lanes that share a row.
template <class Operation>
LAIM_DEVICE Pair row_reduce(Pair own, const Operation& combine) {
  LAIM_UNROLL
  for (int mask = 1; mask < 4; mask *= 2) {
    own.first = combine(own.first, shuffle_xor(own.first, mask));
    own.second = combine(own.second, shuffle_xor(own.second, mask));
  }
  return own;
}

// Scores become 2^(score - largest); returns by what earlier sums shrink.
template <int columns>
LAIM_DEVICE Pair softmax_step(float (&scores)[columns][4], RowState& state) {
  const auto larger = [](float a, float b) { return a > b ? a : b; };
  Pair top = state.maximum;
  LAIM_UNROLL
  for (int j = 0; j < columns; ++j) {
    top.first = larger(top.first, larger(scores[j][0], scores[j][1]));
    top.second = larger(top.second, larger(scores[j][2], scores[j][3]));
  }
  top = row_reduce(top, larger);
  // nothing seen so far: any finite number instead of -inf, so that exp gives 0 and not NaN
  const Pair base = {top.first == -INFINITY ? 0.0f : top.first, top.second == -INFINITY ? 0.0f : top.second};
  Pair sum = {0, 0};
  LAIM_UNROLL
  for (int j = 0; j < columns; ++j) {
    LAIM_UNROLL
    for (int e = 0; e < 2; ++e) {
      scores[j][e] = exp2_approx(scores[j][e] - base.first);
      scores[j][2 + e] = exp2_approx(scores[j][2 + e] - base.second);
      sum.first += scores[j][e];
      sum.second += scores[j][2 + e];
    }
  }
  sum = row_reduce(sum, [](float a, float b) { return a + b; });
  const Pair shrink = {exp2_approx(state.maximum.first - base.first), exp2_approx(state.maximum.second - base.second)};
  state.sum = {state.sum.first * shrink.first + sum.first, state.sum.second * shrink.second + sum.second};
  state.maximum = top;
  return shrink;
}

// What earlier scores have summed, by what softmax_step has returned.
template <int columns>
LAIM_DEVICE void shrink_sums(float (&out)[columns][4], Pair shrink) {
  LAIM_UNROLL
  for (int j = 0; j < columns; ++j) {
    out[j][0] *= shrink.first, out[j][1] *= shrink.first;
    out[j][2] *= shrink.second, out[j][3] *= shrink.second;
  }
}

// Two neighbouring elements of a row, of which `left` are within it.
template <class S>
LAIM_DEVICE void store_pair(S* to, Pair value, int left, bool together) {
  if (together && left >= 2) return store_global(reinterpret_cast<uint32_t*>(to), pack<S>(value.first, value.second));
  if (left >= 1) store_global(to, to_storage<S>(value.first));
  if (left >= 2) store_global(to + 1, to_storage<S>(value.second));
}

// A warp's 16 rows of a gradient, from `row` on, times `scale`.
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

// A warp's 16 queries from `row` on: sums of values become attention's result, states its lse.
template <class S, int columns>
LAIM_DEVICE void store_attention(const AttentionArgs<S>& args, int64_t b, int64_t head, int64_t row,
                                 const float (&out)[columns][4], const RowState& state, bool together) {
  const Matrix<S> to = args.out.matrix(b, head);
  LAIM_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int64_t query = row + lane_index() / 4 + half * 8;
    const float sum = half == 0 ? state.sum.first : state.sum.second;
    const float maximum = half == 0 ? state.maximum.first : state.maximum.second;
    if (query >= args.queries) continue;
    // A query that sees no key: sum 0, zeros out. A NaN sum is kept: it must reach the output.
    const float inverse = sum == 0 ? 0.0f : 1 / sum;
    S* const first = to.at(query, 0);
    LAIM_UNROLL
    for (int j = 0; j < columns; ++j) {
      const int channel = j * 8 + lane_index() % 4 * 2;
      store_pair(first + channel, {out[j][2 * half] * inverse, out[j][2 * half + 1] * inverse},
                 int(args.channels) - channel, together);
    }
    if (lane_index() % 4 == 0)
      store_global(args.lse + (b * args.query_heads + head) * args.queries + query,
                   sum == 0 ? -INFINITY : maximum * ln_2 + logf(sum));
  }
}

}  // namespace laim::cuda
