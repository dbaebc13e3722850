// Working memory of the kernels: one growing, 64-byte aligned buffer per thread and purpose, kept between
// calls because fresh pages would cost more than the work done in them on small shapes.
#pragma once
#include "core/common.h"

namespace laim {

enum class Slot { gemm_a, gemm_b, gemm_sums, attention_packed, attention_worker, rows, count };

// Returns at least `bytes` bytes, contents undefined, valid until the thread asks for the same slot again.
void* scratch(Slot slot, size_t bytes);

template <class T>
LAIM_INLINE T* scratch_of(Slot slot, int64_t elements) {
  return static_cast<T*>(scratch(slot, size_t(elements) * sizeof(T)));
}

}  // namespace laim
