// The ring of cp.async stages through which a product's slices go.
#pragma once
#include "cuda/ptx.cuh"

namespace laim::cuda {

// copy(slice, stage) starts the copies of a slice, multiply(stage) takes one: all of the block's threads do both. While
// a slice is multiplied, the next stages - 1 are on their way.
template <int stages, class Copy, class Multiply>
LAIM_DEVICE void through_ring(int64_t slices, const Copy& copy, const Multiply& multiply) {
  for (int64_t slice = 0; slice < stages - 1; ++slice) {
    if (slice < slices) copy(slice, int(slice % stages));
    cp_async_commit();
  }
  for (int64_t slice = 0; slice < slices; ++slice) {
    const int64_t ahead = slice + stages - 1;
    cp_async_wait<stages - 2>();
    block_barrier();  // shows the slice to all; and all are done with the one before, whose stage is filled now
    if (ahead < slices) copy(ahead, int(ahead % stages));
    cp_async_commit();  // also where nothing was copied: the wait counts groups
    multiply(int(slice % stages));
  }
}

}  // namespace laim::cuda
