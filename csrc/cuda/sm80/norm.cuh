// Layer norm and RMS norm of rows, forward and backward; the equations stand in csrc/cpu/kernels/norm.inl.
//
// A block takes one row at a time. A row is read from DRAM once: the passes after the first find it in the L1 cache. In
// the backward a block takes every grid-th row and keeps its part of the weight's and bias' gradients in shared memory,
// where each thread owns its columns; a second kernel adds the blocks' parts in order, so that results repeat bit for
// bit.
#pragma once
#include "core/kernels.h"
#include "cuda/launch.h"
#include "cuda/sm80/reduce.cuh"
#include "cuda/sm80/row.cuh"

namespace laim::cuda {

struct NormShape {
  static constexpr int threads = 256, warps = threads / warp_size;
  static constexpr int64_t reduction_bytes = 2 * warps * int64_t(sizeof(float));  // two reductions, used in turns
  static constexpr int64_t backward_blocks = 264;  // two for each of an H200's 132 multiprocessors
};

template <class S>
Launch norm_launch(const NormArgs<S>& args) {
  return {uint32_t(args.rows), 1, 1, NormShape::threads, NormShape::reduction_bytes};
}
inline int64_t norm_backward_blocks(int64_t rows) { return min(rows, NormShape::backward_blocks); }
template <class S>
Launch norm_backward_launch(const NormBackwardArgs<S>& args) {
  return {uint32_t(norm_backward_blocks(args.rows)), 1, 1, NormShape::threads,
          NormShape::reduction_bytes + 2 * args.columns * int64_t(sizeof(float))};
}
inline Launch norm_parts_launch(int64_t columns) {
  return {uint32_t(ceil_div(columns, NormShape::threads)), 1, 1, NormShape::threads, 0};
}

template <class S, bool centred>
LAIM_KERNEL(NormShape::threads, 4)
norm_kernel(LAIM_ARGUMENT NormArgs<S> args, LAIM_ARGUMENT bool by_chunks) {
  constexpr int threads = NormShape::threads;
  float* const between = reinterpret_cast<float*>(shared_memory());
  const int64_t columns = args.columns, offset = block_x() * columns;
  const S* const x = (args.residual ? args.sum : args.x) + offset;

  // The sum is rounded to the storage type first: it is what the backward will see. Every thread reads back its own.
  if (args.residual)
    each_piece<S, threads>(columns, [&](int64_t column, int count) {
      Piece<S> sum = load_piece(args.x + offset + column, count, by_chunks);
      const Piece<S> residual = load_piece(args.residual + offset + column, count, by_chunks);
      LAIM_UNROLL
      for (int i = 0; i < row_step<S>; ++i) sum.value[i] += residual.value[i];
      store_piece(args.sum + offset + column, sum, count, by_chunks);
    });

  float mean = 0;
  if constexpr (centred) {
    float sum = 0;
    each_piece<S, threads>(columns, [&](int64_t column, int count) {
      const Piece<S> v = load_piece(x + column, count, by_chunks);
      LAIM_UNROLL
      for (int i = 0; i < row_step<S>; ++i) sum += v.value[i];
    });
    mean = block_reduce<threads>(sum, between, Sum()) / float(columns);
    // The mean's own rounding error is taken out by the mean of what is left: a constant row becomes exactly zeros.
    float left = 0;
    each_piece<S, threads>(columns, [&](int64_t column, int count) {
      const Piece<S> v = load_piece(x + column, count, by_chunks);
      LAIM_UNROLL
      for (int i = 0; i < row_step<S>; ++i) left += i < count ? v.value[i] - mean : 0.0f;
    });
    mean += block_reduce<threads>(left, between + NormShape::warps, Sum()) / float(columns);
  }
  float squares = 0;
  each_piece<S, threads>(columns, [&](int64_t column, int count) {
    const Piece<S> v = load_piece(x + column, count, by_chunks);
    LAIM_UNROLL
    for (int i = 0; i < row_step<S>; ++i) squares += i < count ? (v.value[i] - mean) * (v.value[i] - mean) : 0.0f;
  });
  // `between` was last read before the barrier of the second reduction
  const float variance = block_reduce<threads>(squares, between, Sum()) / float(columns);
  const float rstd = 1 / sqrtf(variance + float(args.eps));

  each_piece<S, threads>(columns, [&](int64_t column, int count) {
    Piece<S> v = load_piece(x + column, count, by_chunks);
    LAIM_UNROLL
    for (int i = 0; i < row_step<S>; ++i) v.value[i] = (v.value[i] - mean) * rstd;
    if (args.weight) {
      const Piece<S> weight = load_piece(args.weight + column, count, by_chunks);
      LAIM_UNROLL
      for (int i = 0; i < row_step<S>; ++i) v.value[i] *= weight.value[i];
    }
    if (args.bias) {
      const Piece<S> bias = load_piece(args.bias + column, count, by_chunks);
      LAIM_UNROLL
      for (int i = 0; i < row_step<S>; ++i) v.value[i] += bias.value[i];
    }
    store_piece(args.out + offset + column, v, count, by_chunks);
  });
  if (thread_index() == 0) {
    if constexpr (centred) store_global(args.mean + block_x(), mean);
    store_global(args.rstd + block_x(), rstd);
  }
}

// parts: (blocks, 2, columns), the blocks' sums for the gradients of weight and bias.
template <class S, bool centred>
LAIM_KERNEL(NormShape::threads, 2)
norm_backward_kernel(LAIM_ARGUMENT NormBackwardArgs<S> args, LAIM_ARGUMENT int64_t blocks, float* parts,
                     LAIM_ARGUMENT bool by_chunks) {
  constexpr int threads = NormShape::threads;
  float* const between = reinterpret_cast<float*>(shared_memory());
  float* const weight_part = between + 2 * NormShape::warps;
  const int64_t columns = args.columns;
  float* const bias_part = weight_part + columns;
  each_piece<S, threads>(columns, [&](int64_t column, int count) {
    for (int i = 0; i < count; ++i) {
      store_shared(weight_part + column + i, 0.0f);
      store_shared(bias_part + column + i, 0.0f);
    }
  });
  for (int64_t row = block_x(); row < args.rows; row += blocks) {
    const int64_t offset = row * columns;
    const float mean = centred ? load_global(args.mean + row) : 0.0f, rstd = load_global(args.rstd + row);
    const auto gradients = [&](int64_t column, int count, Piece<S>& g, Piece<S>& weighted, Piece<S>& normed) {
      g = load_piece(args.gradient + offset + column, count, by_chunks);
      normed = load_piece(args.sum + offset + column, count, by_chunks);
      weighted = g;
      LAIM_UNROLL
      for (int i = 0; i < row_step<S>; ++i) normed.value[i] = (normed.value[i] - mean) * rstd;
      if (args.weight) {
        const Piece<S> weight = load_piece(args.weight + column, count, by_chunks);
        LAIM_UNROLL
        for (int i = 0; i < row_step<S>; ++i) weighted.value[i] *= weight.value[i];
      }
    };
    float sum = 0, sum_normed = 0;
    each_piece<S, threads>(columns, [&](int64_t column, int count) {
      Piece<S> g, weighted, normed;
      gradients(column, count, g, weighted, normed);
      LAIM_UNROLL
      for (int i = 0; i < row_step<S>; ++i) {  // beyond count the gradient is zero
        sum += weighted.value[i];
        sum_normed += weighted.value[i] * normed.value[i];
      }
    });
    const float mean_gx = block_reduce<threads>(sum_normed, between, Sum()) / float(columns);
    const float mean_g =
        centred ? block_reduce<threads>(sum, between + NormShape::warps, Sum()) / float(columns) : 0.0f;
    each_piece<S, threads>(columns, [&](int64_t column, int count) {
      Piece<S> g, weighted, normed;
      gradients(column, count, g, weighted, normed);
      LAIM_UNROLL
      for (int i = 0; i < row_step<S>; ++i) {
        if (i >= count) continue;
        float *const to_weight = weight_part + column + i, *const to_bias = bias_part + column + i;
        store_shared(to_weight, load_shared(to_weight) + g.value[i] * normed.value[i]);
        store_shared(to_bias, load_shared(to_bias) + g.value[i]);
      }
      LAIM_UNROLL
      for (int i = 0; i < row_step<S>; ++i)
        weighted.value[i] = (weighted.value[i] - mean_g - normed.value[i] * mean_gx) * rstd;
      if (args.gradient_sum) {
        const Piece<S> more = load_piece(args.gradient_sum + offset + column, count, by_chunks);
        LAIM_UNROLL
        for (int i = 0; i < row_step<S>; ++i) weighted.value[i] += more.value[i];
      }
      store_piece(args.gradient_x + offset + column, weighted, count, by_chunks);
    });
    block_barrier();  // the next row's reductions write where this one's are read
  }
  float* const out = parts + block_x() * 2 * columns;
  each_piece<S, threads>(columns, [&](int64_t column, int count) {
    for (int i = 0; i < count; ++i) {
      store_global(out + column + i, load_shared(weight_part + column + i));
      store_global(out + columns + column + i, load_shared(bias_part + column + i));
    }
  });
}

template <class S>
LAIM_KERNEL(NormShape::threads, 4)
norm_parts_kernel(LAIM_ARGUMENT NormBackwardArgs<S> args, LAIM_ARGUMENT int64_t blocks, const float* parts) {
  const int64_t column = block_x() * NormShape::threads + thread_index();
  if (column >= args.columns) return;
  float weight = 0, bias = 0;
  for (int64_t block = 0; block < blocks; ++block) {
    weight += load_global(parts + block * 2 * args.columns + column);
    bias += load_global(parts + (block * 2 + 1) * args.columns + column);
  }
  if (args.gradient_weight) store_global(args.gradient_weight + column, to_storage<S>(weight));
  if (args.gradient_bias) store_global(args.gradient_bias + column, to_storage<S>(bias));
}

}  // namespace laim::cuda
