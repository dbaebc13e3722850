// Names shared by all kernels. Included by files compiled for different instruction sets, so every
// function here is forced inline: an out-of-line copy compiled with AVX-512 could be picked for all.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__  // core is host and device code
#define LAIM_INLINE __host__ __device__ inline __attribute__((always_inline))
#else
#define LAIM_INLINE inline __attribute__((always_inline))
#endif

namespace laim {

// Storage type of torch.bfloat16: the upper half of a float.
struct bf16 {
  uint16_t bits;
};

template <class T>
struct Widen {
  using type = T;
};
template <>
struct Widen<bf16> {
  using type = float;
};
// The type a storage type is computed in: bf16 in float, the others in themselves.
template <class S>
using Compute = typename Widen<S>::type;

LAIM_INLINE float to_float(bf16 x) {
  uint32_t wide = uint32_t(x.bits) << 16;
  float out;
  __builtin_memcpy(&out, &wide, 4);
  return out;
}

// Round to nearest, ties to even; NaN stays NaN (quiet).
LAIM_INLINE bf16 to_bf16(float x) {
  uint32_t wide;
  __builtin_memcpy(&wide, &x, 4);
  if ((wide & 0x7fffffffu) > 0x7f800000u) return {uint16_t((wide >> 16) | 0x40u)};
  return {uint16_t((wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16)};
}

template <class T>
LAIM_INLINE T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
LAIM_INLINE T max(T a, T b) {
  return a < b ? b : a;
}
LAIM_INLINE int64_t clamp(int64_t x, int64_t low, int64_t high) { return max(low, min(x, high)); }
LAIM_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
LAIM_INLINE int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// A strided matrix: element (row, column) at data[row * row_stride + column * column_stride].
template <class S>
struct Matrix {
  S* data;
  int64_t row_stride, column_stride;
  LAIM_INLINE S* at(int64_t row, int64_t column) const { return data + row * row_stride + column * column_stride; }
};

}  // namespace laim
