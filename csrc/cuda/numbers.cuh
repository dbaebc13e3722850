// The storage types: bfloat16 (core/common.h), fp16 and fp32, and what mma, packing and storing need of them.
#pragma once
#include "cuda/fp16.h"
#include "cuda/platform.cuh"

namespace laim {

LAIM_INLINE float to_float(float x) { return x; }

template <class S>
LAIM_INLINE S to_storage(float x);
template <>
LAIM_INLINE float to_storage<float>(float x) {
  return x;
}
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

struct alignas(8) Pair {
  float first, second;
};

// Two neighbours as they lie in memory: of 16-bit types in one register, the first in the lower half.
template <class S>
struct PackedPair {
  using type = uint32_t;
};
template <>
struct PackedPair<float> {
  using type = Pair;
};
template <class S>
using Packed = typename PackedPair<S>::type;

template <class S>
LAIM_DEVICE Pair unpack(uint32_t both) {
  return {to_float(S{uint16_t(both & 0xffffu)}), to_float(S{uint16_t(both >> 16)})};
}
template <class S>
LAIM_DEVICE Pair unpack(Pair both) {
  return both;
}

}  // namespace laim::cuda
