// What the backward of attention needs of each query beside its row: delta = rowsum(dO O), and the log-sum-exp.
#pragma once
#include "core/kernels.h"
#include "cuda/launch.h"
#include "cuda/ptx.cuh"

namespace laim::cuda {

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
  // The same without a branch, under which ptxas lets no wgmma be at work: beyond the last query that one is read.
  LAIM_DEVICE Pair branchless_at(int i) const {
    const int nearest = min(i, count - 1);
    const float own = load_global(lse + nearest), own_delta = load_global(delta + nearest);
    return {i >= count || own == -INFINITY ? 0.0f : own * log2_e, i >= count ? 0.0f : own_delta};
  }
};

template <class S>
LAIM_DEVICE QueryStates query_states(const AttentionArgs<S>& args, const float* delta, int64_t b, int64_t head,
                                     int64_t query) {
  constexpr int64_t most = 64;  // queries of a block
  const int64_t offset = (b * args.query_heads + head) * args.queries + query;
  return {args.lse + offset, delta + offset, int(min(args.queries - query, most))};
}

// The score, to the base 2, becomes P; with P `gradient`, of P, becomes that of the score, dS. lse and delta: the
// query's state.
LAIM_DEVICE void score_to_weight(float& score, float lse) { score = exp2_approx(score - lse); }
LAIM_DEVICE void weight_to_gradient(float weight, float& gradient, float delta) {
  gradient = weight * (gradient - delta);
}
LAIM_DEVICE void score_to_gradient(float& score, float& gradient, Pair state) {
  score_to_weight(score, state.first);
  weight_to_gradient(score, gradient, state.second);
}

}  // namespace laim::cuda
