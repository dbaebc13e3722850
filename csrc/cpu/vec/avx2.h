// AVX2 + FMA: 8 floats or 4 doubles a vector, 16 registers.
#pragma once
#include <immintrin.h>
#include <math.h>

#include "core/common.h"

namespace laim::LAIM_ISA {

template <class T>
struct Vec;

// All-ones in the first n of 8 32-bit lanes (n of 4 64-bit lanes: ask for 2n).
LAIM_INLINE __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

template <>
struct Vec<float> {
  static constexpr int width = 8;
  using Mask = __m256;
  __m256 r;

  static LAIM_INLINE Vec zero() { return {_mm256_setzero_ps()}; }
  static LAIM_INLINE Vec all(float x) { return {_mm256_set1_ps(x)}; }
  static LAIM_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static LAIM_INLINE Vec load(const bf16* p) { return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static LAIM_INLINE Vec load(const float* p, int64_t n) { return {_mm256_maskload_ps(p, first_lanes(n))}; }
  static LAIM_INLINE Vec load(const bf16* p, int64_t n) {
    alignas(16) bf16 lanes[8] = {};
    for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  LAIM_INLINE void store(float* p) const { _mm256_storeu_ps(p, r); }
  LAIM_INLINE void store(bf16* p) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow()); }
  LAIM_INLINE void store(float* p, int64_t n) const { _mm256_maskstore_ps(p, first_lanes(n), r); }
  LAIM_INLINE void store(bf16* p, int64_t n) const {
    alignas(16) bf16 lanes[8];
    store(lanes);
    for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
  }

  friend LAIM_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.r, b.r)}; }
  friend LAIM_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.r, b.r)}; }
  friend LAIM_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.r, b.r)}; }
  friend LAIM_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.r, b.r)}; }
  static LAIM_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.r, b.r, c.r)}; }
  static LAIM_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_ps(a.r, b.r, c.r)}; }
  static LAIM_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.r, b.r)}; }
  static LAIM_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.r, b.r)}; }
  static LAIM_INLINE Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.r)}; }
  static LAIM_INLINE Mask less(Vec a, Vec b) { return _mm256_cmp_ps(a.r, b.r, _CMP_LT_OQ); }
  static LAIM_INLINE Mask both(Mask a, Mask b) { return _mm256_and_ps(a, b); }
  static LAIM_INLINE bool any(Mask a) { return _mm256_movemask_ps(a) != 0; }
  static LAIM_INLINE Vec select(Mask m, Vec yes, Vec no) { return {_mm256_blendv_ps(no.r, yes.r, m)}; }
  static LAIM_INLINE Vec round(Vec a) { return {_mm256_round_ps(a.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
  // In two halves, so that 2^n may leave the range of normal floats in either direction.
  static LAIM_INLINE Vec scale2(Vec a, Vec n) {
    const __m256i whole = _mm256_cvtps_epi32(n.r);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return a * power2(half) * power2(_mm256_sub_epi32(whole, half));
  }
  LAIM_INLINE float sum() const {
    const __m128 half = _mm_add_ps(_mm256_castps256_ps128(r), _mm256_extractf128_ps(r, 1));
    const __m128 quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_shuffle_ps(quarter, quarter, 1)));
  }
  LAIM_INLINE float maximum() const {
    const __m128 half = _mm_max_ps(_mm256_castps256_ps128(r), _mm256_extractf128_ps(r, 1));
    const __m128 quarter = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(quarter, _mm_shuffle_ps(quarter, quarter, 1)));
  }

 private:
  static LAIM_INLINE Vec widen(__m128i x) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16))};
  }
  static LAIM_INLINE Vec power2(__m256i n) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23))};
  }
  // Round to nearest even, NaN kept quiet: as to_bf16.
  LAIM_INLINE __m128i narrow() const {
    const __m256i x = _mm256_castps_si256(r);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(x, 16), _mm256_set1_epi32(1));
    __m256i top = _mm256_srli_epi32(_mm256_add_epi32(x, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(x, 16), _mm256_set1_epi32(0x40));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(r, r, _CMP_UNORD_Q));
    top = _mm256_blendv_epi8(top, quiet, nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
  }
};

template <>
struct Vec<double> {
  static constexpr int width = 4;
  using Mask = __m256d;
  __m256d r;

  static LAIM_INLINE Vec zero() { return {_mm256_setzero_pd()}; }
  static LAIM_INLINE Vec all(double x) { return {_mm256_set1_pd(x)}; }
  static LAIM_INLINE Vec load(const double* p) { return {_mm256_loadu_pd(p)}; }
  static LAIM_INLINE Vec load(const double* p, int64_t n) { return {_mm256_maskload_pd(p, first_lanes(2 * n))}; }
  LAIM_INLINE void store(double* p) const { _mm256_storeu_pd(p, r); }
  LAIM_INLINE void store(double* p, int64_t n) const { _mm256_maskstore_pd(p, first_lanes(2 * n), r); }

  friend LAIM_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_pd(a.r, b.r)}; }
  friend LAIM_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_pd(a.r, b.r)}; }
  friend LAIM_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_pd(a.r, b.r)}; }
  friend LAIM_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_pd(a.r, b.r)}; }
  static LAIM_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_pd(a.r, b.r, c.r)}; }
  static LAIM_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_pd(a.r, b.r, c.r)}; }
  static LAIM_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_pd(a.r, b.r)}; }
  static LAIM_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_pd(a.r, b.r)}; }
  static LAIM_INLINE Vec abs(Vec a) { return {_mm256_andnot_pd(_mm256_set1_pd(-0.0), a.r)}; }
  static LAIM_INLINE Mask less(Vec a, Vec b) { return _mm256_cmp_pd(a.r, b.r, _CMP_LT_OQ); }
  static LAIM_INLINE Mask both(Mask a, Mask b) { return _mm256_and_pd(a, b); }
  static LAIM_INLINE bool any(Mask a) { return _mm256_movemask_pd(a) != 0; }
  static LAIM_INLINE Vec select(Mask m, Vec yes, Vec no) { return {_mm256_blendv_pd(no.r, yes.r, m)}; }
  LAIM_INLINE double sum() const {
    const __m128d half = _mm_add_pd(_mm256_castpd256_pd128(r), _mm256_extractf128_pd(r, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
  }
  LAIM_INLINE double maximum() const {
    const __m128d half = _mm_max_pd(_mm256_castpd256_pd128(r), _mm256_extractf128_pd(r, 1));
    return _mm_cvtsd_f64(_mm_max_sd(half, _mm_unpackhi_pd(half, half)));
  }
};

// Lane j of vector i becomes lane i of vector j.
template <class V>
LAIM_INLINE void transpose(V (&v)[8]) {
  __m256 pairs[8], fours[8];
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(v[i].r, v[i + 1].r);
    pairs[i + 1] = _mm256_unpackhi_ps(v[i].r, v[i + 1].r);
  }
  for (int i = 0; i < 8; i += 4) {
    fours[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    fours[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    fours[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    fours[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
  for (int c = 0; c < 4; ++c) {
    v[c].r = _mm256_permute2f128_ps(fours[c], fours[4 + c], 0x20);
    v[4 + c].r = _mm256_permute2f128_ps(fours[c], fours[4 + c], 0x31);
  }
}

struct VectorTile {
  static constexpr int rows = 6, vectors = 2;
  static constexpr int64_t dot_rows = 4;  // up to which dot products may beat packing
};

constexpr const char* name = "avx2";

}  // namespace laim::LAIM_ISA
