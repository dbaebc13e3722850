// AVX-512-BF16: the AVX-512 policy, and pairs of bf16 multiplied and added by one instruction at twice the rate of a
// fused multiply-add (on AMD; dispatch.cpp says where not).
#pragma once
#define LAIM_PAIRS

#include "core/pairs.h"
#include "cpu/vec/avx512.h"

namespace laim::LAIM_ISA {

template <>
struct Vec<bf16x2> {
  static constexpr int width = 16;
  __m512 r;  // bits, as transposition wants them

  static LAIM_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
  static LAIM_INLINE Vec all(bf16x2 x) { return of(_mm512_set1_epi32(int(x.bits))); }
  static LAIM_INLINE Vec load(const bf16x2* p) { return {_mm512_loadu_ps(p)}; }
  // Neighbours in memory: pair i is p[2 i], p[2 i + 1].
  static LAIM_INLINE Vec load(const bf16* p) { return {_mm512_loadu_ps(p)}; }
  static LAIM_INLINE Vec load(const bf16* p, int64_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
  // Pair i is first[i], second[i]; zeros where second is null.
  static LAIM_INLINE Vec interleave(const bf16* first, const bf16* second, int64_t n) {
    const __m512i low = widen(first, n);
    return of(second ? _mm512_or_si512(low, _mm512_slli_epi32(widen(second, n), 16)) : low);
  }
  static LAIM_INLINE Vec interleave(Vec<float> first, Vec<float> second) {
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(second.r, first.r);
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i order = _mm512_or_si512(lane, _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(16)), 16));
    return of(_mm512_permutexvar_epi16(order, halves));
  }
  // Pair i is v[2 i], v[2 i + 1].
  static LAIM_INLINE void store_neighbours(Vec<float> v, bf16x2* p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(v.r));
  }
  LAIM_INLINE void store(bf16x2* p) const { _mm512_storeu_ps(p, r); }
  LAIM_INLINE void store(bf16x2* p, int64_t n) const { _mm512_mask_storeu_ps(p, first_lanes(n), r); }
  static LAIM_INLINE Vec<float> fma(Vec a, Vec b, Vec<float> c) {
    return {_mm512_dpbf16_ps(c.r, (__m512bh)a.r, (__m512bh)b.r)};
  }

 private:
  static LAIM_INLINE Vec of(__m512i bits) { return {_mm512_castsi512_ps(bits)}; }
  static LAIM_INLINE __mmask16 first_lanes(int64_t n) { return __mmask16((1u << n) - 1u); }
  static LAIM_INLINE __m512i widen(const bf16* p, int64_t n) {
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(n), p));
  }
};

}  // namespace laim::LAIM_ISA
