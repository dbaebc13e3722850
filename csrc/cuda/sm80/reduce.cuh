// Sums and maxima over the threads of a block. Every thread gets the same bits, in the same order every time.
#pragma once
#include "cuda/ptx.cuh"

namespace laim::cuda {

struct Sum {
  static constexpr float neutral = 0;
  LAIM_DEVICE float operator()(float a, float b) const { return a + b; }
};
struct Maximum {
  static constexpr float neutral = -INFINITY;
  LAIM_DEVICE float operator()(float a, float b) const { return a > b ? a : b; }
};

// `between` is threads / 32 floats of shared memory, free again when the next block barrier has been passed.
template <int threads, class Operation>
LAIM_DEVICE float block_reduce(float value, float* between, const Operation& combine) {
  constexpr int warps = threads / warp_size;
  LAIM_UNROLL
  for (int mask = warp_size / 2; mask > 0; mask /= 2) value = combine(value, shuffle_xor(value, mask));
  if (lane_index() == 0) store_shared(between + warp_index(), value);
  block_barrier();
  value = Operation::neutral;
  LAIM_UNROLL
  for (int warp = 0; warp < warps; ++warp) value = combine(value, load_shared(between + warp));
  return value;
}

}  // namespace laim::cuda
