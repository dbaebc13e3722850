// AVX-512 F/BW/DQ/VL: 16 floats or 8 doubles a vector, 32 registers, masks for ragged ends.
#pragma once
#include <immintrin.h>
#include <math.h>

#include "core/common.h"

namespace laim::LAIM_ISA {

template <class T>
struct Vec;

template <>
struct Vec<float> {
  static constexpr int width = 16;
  using Mask = __mmask16;
  __m512 r;

  static LAIM_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
  static LAIM_INLINE Vec all(float x) { return {_mm512_set1_ps(x)}; }
  static LAIM_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static LAIM_INLINE Vec load(const bf16* p) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
  static LAIM_INLINE Vec load(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
  static LAIM_INLINE Vec load(const bf16* p, int64_t n) { return widen(_mm256_maskz_loadu_epi16(first(n), p)); }
  LAIM_INLINE void store(float* p) const { _mm512_storeu_ps(p, r); }
  LAIM_INLINE void store(bf16* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow()); }
  LAIM_INLINE void store(float* p, int64_t n) const { _mm512_mask_storeu_ps(p, first(n), r); }
  LAIM_INLINE void store(bf16* p, int64_t n) const { _mm256_mask_storeu_epi16(p, first(n), narrow()); }

  friend LAIM_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.r, b.r)}; }
  friend LAIM_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.r, b.r)}; }
  friend LAIM_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.r, b.r)}; }
  friend LAIM_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.r, b.r)}; }
  static LAIM_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.r, b.r, c.r)}; }
  static LAIM_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.r, b.r, c.r)}; }
  static LAIM_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.r, b.r)}; }
  static LAIM_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.r, b.r)}; }
  static LAIM_INLINE Vec abs(Vec a) { return {_mm512_abs_ps(a.r)}; }
  static LAIM_INLINE Mask less(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.r, b.r, _CMP_LT_OQ); }
  static LAIM_INLINE Mask both(Mask a, Mask b) { return Mask(a & b); }
  static LAIM_INLINE bool any(Mask a) { return a != 0; }
  static LAIM_INLINE Vec select(Mask m, Vec yes, Vec no) { return {_mm512_mask_blend_ps(m, no.r, yes.r)}; }
  static LAIM_INLINE Vec round(Vec a) {
    return {_mm512_roundscale_ps(a.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static LAIM_INLINE Vec scale2(Vec a, Vec n) { return {_mm512_scalef_ps(a.r, n.r)}; }
  LAIM_INLINE float sum() const { return _mm512_reduce_add_ps(r); }
  LAIM_INLINE float maximum() const { return _mm512_reduce_max_ps(r); }

 private:
  static LAIM_INLINE __mmask16 first(int64_t n) { return __mmask16((1u << n) - 1u); }
  static LAIM_INLINE Vec widen(__m256i x) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16))};
  }
  // Round to nearest even, NaN kept quiet: as to_bf16. The instruction makes zeros of denormal numbers besides.
#ifdef LAIM_PAIRS
  LAIM_INLINE __m256i narrow() const { return (__m256i)_mm512_cvtneps_pbh(r); }
#else
  LAIM_INLINE __m256i narrow() const {
    const __m512i x = _mm512_castps_si512(r);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
    __m512i top = _mm512_srli_epi32(_mm512_add_epi32(x, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(0x40));
    top = _mm512_mask_mov_epi32(top, _mm512_cmp_ps_mask(r, r, _CMP_UNORD_Q), quiet);
    return _mm512_cvtepi32_epi16(top);
  }
#endif
};

template <>
struct Vec<double> {
  static constexpr int width = 8;
  using Mask = __mmask8;
  __m512d r;

  static LAIM_INLINE Vec zero() { return {_mm512_setzero_pd()}; }
  static LAIM_INLINE Vec all(double x) { return {_mm512_set1_pd(x)}; }
  static LAIM_INLINE Vec load(const double* p) { return {_mm512_loadu_pd(p)}; }
  static LAIM_INLINE Vec load(const double* p, int64_t n) { return {_mm512_maskz_loadu_pd(first(n), p)}; }
  LAIM_INLINE void store(double* p) const { _mm512_storeu_pd(p, r); }
  LAIM_INLINE void store(double* p, int64_t n) const { _mm512_mask_storeu_pd(p, first(n), r); }

  friend LAIM_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_pd(a.r, b.r)}; }
  friend LAIM_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_pd(a.r, b.r)}; }
  friend LAIM_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_pd(a.r, b.r)}; }
  friend LAIM_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_pd(a.r, b.r)}; }
  static LAIM_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_pd(a.r, b.r, c.r)}; }
  static LAIM_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_pd(a.r, b.r, c.r)}; }
  static LAIM_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_pd(a.r, b.r)}; }
  static LAIM_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_pd(a.r, b.r)}; }
  static LAIM_INLINE Vec abs(Vec a) { return {_mm512_abs_pd(a.r)}; }
  static LAIM_INLINE Mask less(Vec a, Vec b) { return _mm512_cmp_pd_mask(a.r, b.r, _CMP_LT_OQ); }
  static LAIM_INLINE Mask both(Mask a, Mask b) { return Mask(a & b); }
  static LAIM_INLINE bool any(Mask a) { return a != 0; }
  static LAIM_INLINE Vec select(Mask m, Vec yes, Vec no) { return {_mm512_mask_blend_pd(m, no.r, yes.r)}; }
  LAIM_INLINE double sum() const { return _mm512_reduce_add_pd(r); }
  LAIM_INLINE double maximum() const { return _mm512_reduce_max_pd(r); }

 private:
  static LAIM_INLINE __mmask8 first(int64_t n) { return __mmask8((1u << n) - 1u); }
};

// Lane j of vector i becomes lane i of vector j.
template <class V>
LAIM_INLINE void transpose(V (&v)[16]) {
  __m512 pairs[16], fours[16];
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_ps(v[i].r, v[i + 1].r);
    pairs[i + 1] = _mm512_unpackhi_ps(v[i].r, v[i + 1].r);
  }
  const auto low = [](__m512 a, __m512 b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  };
  const auto high = [](__m512 a, __m512 b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  };
  for (int i = 0; i < 16; i += 4) {
    fours[i] = low(pairs[i], pairs[i + 2]);
    fours[i + 1] = high(pairs[i], pairs[i + 2]);
    fours[i + 2] = low(pairs[i + 1], pairs[i + 3]);
    fours[i + 3] = high(pairs[i + 1], pairs[i + 3]);
  }
  // fours[4 g + c], quarter b: rows 4 g .. 4 g + 3 of column 4 b + c; what is left is a 4 x 4 transpose of quarters
  for (int c = 0; c < 4; ++c) {
    const __m512 even_low = _mm512_shuffle_f32x4(fours[c], fours[4 + c], 0x88);
    const __m512 even_high = _mm512_shuffle_f32x4(fours[8 + c], fours[12 + c], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(fours[c], fours[4 + c], 0xdd);
    const __m512 odd_high = _mm512_shuffle_f32x4(fours[8 + c], fours[12 + c], 0xdd);
    v[c].r = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
    v[4 + c].r = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
    v[8 + c].r = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
    v[12 + c].r = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
  }
}

struct VectorTile {
  static constexpr int rows = 12, vectors = 2;
  static constexpr int64_t dot_rows = 128;  // up to which dot products may beat packing
};

constexpr const char* name = "avx512";

}  // namespace laim::LAIM_ISA
