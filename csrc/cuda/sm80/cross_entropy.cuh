// Cross-entropy of rows of logits, whose gradient takes their place: the middle of linear_cross_entropy, between the
// product that makes a chunk of logits and the two that use their gradient (ops/linear_cross_entropy.cpp has the plan).
// Also sums over rows, for the gradients of biases.
#pragma once
#include "core/kernels.h"
#include "cuda/activation.cuh"
#include "cuda/launch.h"
#include "cuda/sm80/reduce.cuh"
#include "cuda/sm80/row.cuh"

namespace laim::cuda {

struct RowShape {
  static constexpr int threads = 256, warps = threads / warp_size;
};

template <class S>
Launch cross_entropy_launch(const CrossEntropyArgs<S>& args) {
  return {uint32_t(args.rows), 1, 1, RowShape::threads, 2 * RowShape::warps * int64_t(sizeof(float))};
}

// A block takes a row: the largest logit, the sum of exponentials, then the gradient in place. A target outside the row
// makes the row's loss and gradient NaN: to refuse it would be to wait for the device.
template <class S>
LAIM_KERNEL(RowShape::threads, 4)
cross_entropy_kernel(LAIM_ARGUMENT CrossEntropyArgs<S> args, LAIM_ARGUMENT bool by_chunks) {
  constexpr int threads = RowShape::threads;
  float* const between = reinterpret_cast<float*>(shared_memory());
  const int64_t row = block_x();
  S* const logits = args.logits + row * args.columns;
  const int64_t target = load_global(args.target + row);
  const bool counted = target != args.ignore_index;
  const bool within = target >= 0 && target < args.columns;
  // Read before the gradient takes its place: other threads' logits are only read up to the last reduction.
  const float at_target = !counted ? 0.0f : within ? to_float(load_global(logits + target)) : NAN;

  float top = Maximum::neutral;
  each_piece<S, threads>(args.columns, [&](int64_t column, int count) {
    const Piece<S> v = load_piece(logits + column, count, by_chunks);
    LAIM_UNROLL
    for (int i = 0; i < row_step<S>; ++i) top = i < count ? Maximum()(top, v.value[i]) : top;
  });
  top = block_reduce<threads>(top, between, Maximum());
  float sum = 0;
  each_piece<S, threads>(args.columns, [&](int64_t column, int count) {
    const Piece<S> v = load_piece(logits + column, count, by_chunks);
    LAIM_UNROLL
    for (int i = 0; i < row_step<S>; ++i) sum += i < count ? exponential(v.value[i] - top) : 0.0f;
  });
  sum = block_reduce<threads>(sum, between + RowShape::warps, Sum());

  if (thread_index() == 0) store_global(args.loss + row, counted ? top - at_target + logf(sum) : 0.0f);
  if (args.scale == nullptr) return;
  const float scale = !counted ? 0.0f : within ? load_global(args.scale + row) : NAN;
  each_piece<S, threads>(args.columns, [&](int64_t column, int count) {
    Piece<S> v = load_piece(logits + column, count, by_chunks);
    LAIM_UNROLL
    for (int i = 0; i < row_step<S>; ++i) {
      const float probability = exponential(v.value[i] - top) / sum;
      v.value[i] = counted ? (probability - (column + i == target ? 1.0f : 0.0f)) * scale : 0.0f;
    }
    store_piece(logits + column, v, count, by_chunks);
  });
}

struct ColumnSumShape {
  static constexpr int columns = 32, rows = 8, threads = columns * rows;
};

template <class S>
Launch column_sum_launch(const ColumnSumArgs<S>& args) {
  return {uint32_t(ceil_div(args.columns, ColumnSumShape::columns)), 1, 1, ColumnSumShape::threads,
          ColumnSumShape::threads * int64_t(sizeof(float))};
}

// A block takes 32 columns, each of its warps every eighth row; the warps' sums are added in order.
template <class S>
LAIM_KERNEL(ColumnSumShape::threads, 4)
column_sum_kernel(LAIM_ARGUMENT ColumnSumArgs<S> args) {
  using Shape = ColumnSumShape;
  float* const between = reinterpret_cast<float*>(shared_memory());
  const int64_t column = block_x() * Shape::columns + lane_index();
  float sum = 0;
  if (column < args.columns)
    for (int64_t row = warp_index(); row < args.rows; row += Shape::rows)
      sum += to_float(load_global(args.in.data + row * args.in.row_stride + column));
  store_shared(between + thread_index(), sum);
  block_barrier();
  if (warp_index() > 0 || column >= args.columns) return;
  for (int warp = 1; warp < Shape::rows; ++warp) sum += load_shared(between + warp * Shape::columns + lane_index());
  store_global(args.out + column, args.accumulate ? load_global(args.out + column) + sum : sum);
}

}  // namespace laim::cuda
