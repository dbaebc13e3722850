// What attention forward and backward do to scores in fp32: 16x16 threads hold the rows and columns of a tile, each row
// in the 16 threads of half a warp. A thread has neighbouring rows, and of the columns every 16th.
#pragma once
#include "core/kernels.h"
#include "cuda/sm80/float_tile.cuh"
#include "cuda/sm80/reduce.cuh"

namespace laim::cuda {

constexpr int grid_side = 16, grid_threads = grid_side * grid_side;

// Channels of a tile: 16 threads take four neighbouring ones each.
template <int channels>
constexpr int float_channels = channels < 64 ? 64 : channels;

template <int rows>
LAIM_DEVICE int own_row(int i) {
  return thread_index() / grid_side * rows + i;
}
LAIM_DEVICE int own_column(int j) { return thread_index() % grid_side + j * grid_side; }
LAIM_DEVICE int own_channel(int f) { return (thread_index() % grid_side + f * grid_side) * 4; }

// scores += left right^T: rows of one tile by rows of the other.
template <int rows, int columns, class Left, class Right>
LAIM_DEVICE void multiply_float_rows(float (&scores)[rows][columns], const Left& left, const Right& right) {
  // two steps at once would take the registers that the sums need
  LAIM_ROLLED
  for (int channel = 0; channel < Left::columns; channel += 4) {
    Four a[rows], b[columns];
    LAIM_UNROLL
    for (int i = 0; i < rows; ++i) a[i] = left.four(own_row<rows>(i), channel);
    LAIM_UNROLL
    for (int j = 0; j < columns; ++j) b[j] = right.four(own_column(j), channel);
    LAIM_UNROLL
    for (int e = 0; e < 4; ++e) {
      LAIM_UNROLL
      for (int i = 0; i < rows; ++i) {
        LAIM_UNROLL
        for (int j = 0; j < columns; ++j) scores[i][j] += a[i].value[e] * b[j].value[e];
      }
    }
  }
}

// sums += weights tile. The weights of a row were stored by the threads that read them here.
template <int rows, int fours, class Weights, class T>
LAIM_DEVICE void multiply_float_columns(Four (&sums)[rows][fours], const Weights& weights, const T& tile) {
  LAIM_ROLLED
  for (int k = 0; k < Weights::columns; k += 4) {
    Four w[rows];
    LAIM_UNROLL
    for (int i = 0; i < rows; ++i) w[i] = weights.four(own_row<rows>(i), k);
    LAIM_UNROLL
    for (int e = 0; e < 4; ++e) {
      LAIM_UNROLL
      for (int f = 0; f < fours; ++f) {
        const Four v = tile.four(k + e, own_channel(f));
        LAIM_UNROLL
        for (int i = 0; i < rows; ++i) {
          LAIM_UNROLL
          for (int x = 0; x < 4; ++x) sums[i][f].value[x] += w[i].value[e] * v.value[x];
        }
      }
    }
  }
}

// For multiply_float_columns: from here on the half warp that has a row sees all its columns.
template <int rows, int columns, class Weights>
LAIM_DEVICE void store_weights(const Weights& weights, const float (&scores)[rows][columns]) {
  LAIM_UNROLL
  for (int i = 0; i < rows; ++i) {
    LAIM_UNROLL
    for (int j = 0; j < columns; ++j) store_shared(weights.at(own_row<rows>(i), own_column(j)), scores[i][j]);
  }
  warp_barrier();
}

// Scores times `scale`; -inf where a query does not see a key. Rows and columns begin at `row` and `column`;
// visible(row) is the interval of columns whose scores stay.
template <int rows, int columns, class Visible>
LAIM_DEVICE void scale_and_mask(float (&scores)[rows][columns], float scale, int64_t row, int64_t column,
                                const Visible& visible) {
  LAIM_UNROLL
  for (int i = 0; i < rows; ++i) {
    const Interval own = visible(row + own_row<rows>(i));
    const int begin = int(clamp(own.begin - column, 0, columns * grid_side)),
              end = int(clamp(own.end - column, 0, columns * grid_side));
    LAIM_UNROLL
    for (int j = 0; j < columns; ++j)
      scores[i][j] = own_column(j) >= begin && own_column(j) < end ? scores[i][j] * scale : -INFINITY;
  }
}

// Over the 16 threads that share a row.
template <class Operation>
LAIM_DEVICE float across_row(float value, const Operation& combine) {
  LAIM_UNROLL
  for (int mask = 1; mask < grid_side; mask *= 2) value = combine(value, shuffle_xor(value, mask));
  return value;
}

// The largest score of a row so far, and the sum of 2^(score - largest).
struct FloatRowState {
  float maximum = -INFINITY, sum = 0;
};

// Scores of one row become 2^(score - largest); returns by what earlier sums shrink.
template <int columns>
LAIM_DEVICE float softmax_row(float (&scores)[columns], FloatRowState& state) {
  float top = state.maximum;
  LAIM_UNROLL
  for (float score : scores) top = Maximum()(top, score);
  top = across_row(top, Maximum());
  // nothing seen so far: any finite number instead of -inf, so that exp gives 0 and not NaN
  const float base = top == -INFINITY ? 0.0f : top;
  float sum = 0;
  LAIM_UNROLL
  for (float& score : scores) {
    score = exp2_approx(score - base);
    sum += score;
  }
  sum = across_row(sum, Sum());
  const float shrink = exp2_approx(state.maximum - base);
  state.sum = state.sum * shrink + sum;
  state.maximum = top;
  return shrink;
}

template <int fours>
LAIM_DEVICE void scale_row(Four (&sums)[fours], float factor) {
  LAIM_UNROLL
  for (Four& four : sums) {
    LAIM_UNROLL
    for (float& each : four.value) each *= factor;
  }
}

template <int fours>
LAIM_DEVICE void store_row(const Matrix<float>& to, int64_t row, const Four (&sums)[fours], int64_t channels) {
  LAIM_UNROLL
  for (int f = 0; f < fours; ++f) {
    LAIM_UNROLL
    for (int x = 0; x < 4; ++x)
      if (own_channel(f) + x < channels) store_global(to.at(row, own_channel(f) + x), sums[f].value[x]);
  }
}

}  // namespace laim::cuda
