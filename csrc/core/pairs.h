// Pairs of bf16 numbers, the operands of dot-product instructions, in plain C++: what `vdpbf16ps` and the conversion to
// pairs do, to the bit. The vector policies hold the instructions; these are their twins for tests on any machine.
#pragma once
#include <float.h>

#include "core/common.h"

namespace laim {

// Two bf16 numbers in one word: of neighbouring steps of k, the first one in the lower half, as they lie in memory.
struct bf16x2 {
  uint32_t bits;
};

LAIM_INLINE bf16x2 pair_of(bf16 first, bf16 second) { return {uint32_t(first.bits) | uint32_t(second.bits) << 16}; }
LAIM_INLINE bf16 first_of(bf16x2 pair) { return {uint16_t(pair.bits)}; }
LAIM_INLINE bf16 second_of(bf16x2 pair) { return {uint16_t(pair.bits >> 16)}; }

// The instructions know no denormal numbers: going in and coming out, they are zeros of their sign.
LAIM_INLINE float without_denormal(float x) { return __builtin_fabsf(x) < FLT_MIN ? __builtin_copysignf(0.0f, x) : x; }

// sum + x y, rounded.
LAIM_INLINE float multiply_add(bf16 x, bf16 y, float sum) {
  return without_denormal(__builtin_fmaf(without_denormal(to_float(x)), without_denormal(to_float(y)), sum));
}

// c + a b, a and b pairs: the second numbers first, each step rounded.
LAIM_INLINE float dot(bf16x2 a, bf16x2 b, float c) {
  return multiply_add(first_of(a), first_of(b), multiply_add(second_of(a), second_of(b), without_denormal(c)));
}

LAIM_INLINE bf16x2 narrowed_pair(float first, float second) {
  return pair_of(to_bf16(without_denormal(first)), to_bf16(without_denormal(second)));
}

// How many steps of k one packed operand holds.
template <class O>
struct Span {
  static constexpr int64_t steps = 1;
};
template <>
struct Span<bf16x2> {
  static constexpr int64_t steps = 2;
};
template <class O>
constexpr int64_t span = Span<O>::steps;

}  // namespace laim
