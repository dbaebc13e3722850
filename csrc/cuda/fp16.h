// fp16 as a storage type, and its conversions in plain C++.
#pragma once
#include "core/common.h"

namespace laim {

// Storage type of torch.float16.
struct fp16 {
  uint16_t bits;
};
template <>
struct Widen<fp16> {
  using type = float;
};

LAIM_INLINE float to_float(fp16 x) {
  const uint32_t sign = uint32_t(x.bits & 0x8000u) << 16, magnitude = x.bits & 0x7fffu;
  uint32_t wide;
  if (magnitude >= 0x7c00u) {
    wide = 0x7f800000u | ((magnitude & 0x3ffu) << 13);
  } else if (magnitude < 0x400u) {  // subnormal: a multiple of 2^-24
    const float small = float(magnitude) * 5.9604644775390625e-8f;
    __builtin_memcpy(&wide, &small, 4);
  } else {
    wide = (magnitude << 13) + 0x38000000u;
  }
  wide |= sign;
  float out;
  __builtin_memcpy(&out, &wide, 4);
  return out;
}

// Round to nearest, ties to even; NaN stays NaN, what is too large becomes infinite.
LAIM_INLINE fp16 to_fp16(float x) {
  uint32_t wide;
  __builtin_memcpy(&wide, &x, 4);
  const uint32_t sign = (wide >> 16) & 0x8000u, magnitude = wide & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {uint16_t(sign | 0x7e00u)};
  if (magnitude >= 0x477ff000u) return {uint16_t(sign | 0x7c00u)};
  if (magnitude < 0x38800000u) {  // below 2^-14: adding 2^-1 leaves multiples of 2^-24 in the last bits
    float positive;
    __builtin_memcpy(&positive, &magnitude, 4);
    positive += 0.5f;
    uint32_t shifted;
    __builtin_memcpy(&shifted, &positive, 4);
    return {uint16_t(sign | (shifted - 0x3f000000u))};
  }
  return {uint16_t(sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13))};
}

}  // namespace laim
