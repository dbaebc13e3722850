// The storage types of the tensor cores: bfloat16 (core/common.h) and fp16, and what mma, packing and storing need of
// them.
#pragma once
#include "cuda/fp16.h"
#include "cuda/platform.cuh"

namespace laim {

template <class S>
LAIM_INLINE S to_storage(float x);
template <>
LAIM_INLINE bf16 to_storage<bf16>(float x) {
  return to_bf16(x);
}
template <>
LAIM_INLINE fp16 to_storage<fp16>(float x) {
  return to_fp16(x);
}

}  // namespace laim

namespace laim::cuda {

template <class A, class B>
constexpr bool is_same = false;
template <class A>
constexpr bool is_same<A, A> = true;

// Two values as they lie in a 32-bit register: the first in the lower half.
struct alignas(8) Pair {
  float first, second;
};
template <class S>
LAIM_DEVICE Pair unpack(uint32_t both) {
  return {to_float(S{uint16_t(both & 0xffffu)}), to_float(S{uint16_t(both >> 16)})};
}

}  // namespace laim::cuda
