// Plain C++: any CPU, and the easiest to step through in a debugger. One lane, as the scalar kernels want it; tests
// also compile it with several, as the twin of the vector policies.
#pragma once
#include <math.h>

#include "core/common.h"
#include "core/pairs.h"

#ifndef LAIM_LANES
#define LAIM_LANES 1
#endif

namespace laim::LAIM_ISA {

struct LaneMask {
  bool r[LAIM_LANES];
};

// One value per lane, from a function of the lane's number.
template <class Out, class Function>
LAIM_INLINE Out by_lane(const Function& function) {
  Out out;
  for (int i = 0; i < LAIM_LANES; ++i) out.r[i] = function(i);
  return out;
}

template <class T>
struct Vec {
  static constexpr int width = LAIM_LANES;
  using Mask = LaneMask;
  T r[width];

  static LAIM_INLINE Vec zero() { return all(T(0)); }
  static LAIM_INLINE Vec all(T x) {
    return by_lane<Vec>([=](int) { return x; });
  }
  static LAIM_INLINE Vec load(const T* p, int64_t n = width) {
    return by_lane<Vec>([=](int i) { return i < n ? p[i] : T(0); });
  }
  static LAIM_INLINE Vec load(const bf16* p, int64_t n = width) {
    return by_lane<Vec>([=](int i) { return i < n ? T(to_float(p[i])) : T(0); });
  }
  LAIM_INLINE void store(T* p, int64_t n = width) const {
    for (int i = 0; i < n; ++i) p[i] = r[i];
  }
  LAIM_INLINE void store(bf16* p, int64_t n = width) const {
#ifdef LAIM_PAIRS
    for (int i = 0; i < n; ++i) p[i] = to_bf16(without_denormal(float(r[i])));
#else
    for (int i = 0; i < n; ++i) p[i] = to_bf16(float(r[i]));
#endif
  }

  friend LAIM_INLINE Vec operator+(Vec a, Vec b) {
    return by_lane<Vec>([&](int i) { return a.r[i] + b.r[i]; });
  }
  friend LAIM_INLINE Vec operator-(Vec a, Vec b) {
    return by_lane<Vec>([&](int i) { return a.r[i] - b.r[i]; });
  }
  friend LAIM_INLINE Vec operator*(Vec a, Vec b) {
    return by_lane<Vec>([&](int i) { return a.r[i] * b.r[i]; });
  }
  friend LAIM_INLINE Vec operator/(Vec a, Vec b) {
    return by_lane<Vec>([&](int i) { return a.r[i] / b.r[i]; });
  }
  // a * b + c, c - a * b
  static LAIM_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
  static LAIM_INLINE Vec fnma(Vec a, Vec b, Vec c) { return c - a * b; }
  // The second operand wins when either is NaN.
  static LAIM_INLINE Vec max(Vec a, Vec b) { return select(less(b, a), a, b); }
  static LAIM_INLINE Vec min(Vec a, Vec b) { return select(less(a, b), a, b); }
  static LAIM_INLINE Vec abs(Vec a) {
    return by_lane<Vec>([&](int i) { return T(__builtin_fabs(a.r[i])); });
  }
  static LAIM_INLINE Mask less(Vec a, Vec b) {
    return by_lane<Mask>([&](int i) { return a.r[i] < b.r[i]; });
  }
  static LAIM_INLINE Mask both(Mask a, Mask b) {
    return by_lane<Mask>([&](int i) { return a.r[i] && b.r[i]; });
  }
  static LAIM_INLINE bool any(Mask a) {
    bool found = false;
    for (bool lane : a.r) found = found || lane;
    return found;
  }
  static LAIM_INLINE Vec select(Mask m, Vec yes, Vec no) {
    return by_lane<Vec>([&](int i) { return m.r[i] ? yes.r[i] : no.r[i]; });
  }
  static LAIM_INLINE Vec round(Vec a) {
    return by_lane<Vec>([&](int i) { return T(__builtin_rint(a.r[i])); });
  }
  // a * 2^n for integral n; underflows gradually, overflows to infinity.
  static LAIM_INLINE Vec scale2(Vec a, Vec n) {
    return by_lane<Vec>([&](int i) { return T(__builtin_ldexp(double(a.r[i]), int(n.r[i]))); });
  }
  LAIM_INLINE T sum() const {
    T total = r[0];
    for (int i = 1; i < width; ++i) total += r[i];
    return total;
  }
  LAIM_INLINE T maximum() const {
    T top = r[0];
    for (int i = 1; i < width; ++i) top = r[i] > top ? r[i] : top;
    return top;
  }
};

// Lane j of vector i becomes lane i of vector j.
template <class V>
LAIM_INLINE void transpose(V (&v)[LAIM_LANES]) {
  for (int i = 0; i < LAIM_LANES; ++i)
    for (int j = 0; j < i; ++j) {
      const auto kept = v[i].r[j];
      v[i].r[j] = v[j].r[i];
      v[j].r[i] = kept;
    }
}

#ifdef LAIM_PAIRS
// The twin of Vec<bf16x2> in avx512bf16.h.
template <>
struct Vec<bf16x2> {
  static constexpr int width = LAIM_LANES;
  bf16x2 r[width];

  static LAIM_INLINE Vec zero() { return all({0}); }
  static LAIM_INLINE Vec all(bf16x2 x) {
    return by_lane<Vec>([=](int) { return x; });
  }
  static LAIM_INLINE Vec load(const bf16x2* p) {
    return by_lane<Vec>([=](int i) { return p[i]; });
  }
  static LAIM_INLINE Vec load(const bf16* p, int64_t n = width) {
    return by_lane<Vec>([=](int i) { return i < n ? pair_of(p[2 * i], p[2 * i + 1]) : bf16x2{0}; });
  }
  static LAIM_INLINE Vec interleave(const bf16* first, const bf16* second, int64_t n) {
    return by_lane<Vec>([=](int i) {
      const bf16 none = {0};
      return pair_of(i < n ? first[i] : none, i < n && second ? second[i] : none);
    });
  }
  static LAIM_INLINE Vec interleave(Vec<float> first, Vec<float> second) {
    return by_lane<Vec>([&](int i) { return narrowed_pair(first.r[i], second.r[i]); });
  }
  static LAIM_INLINE void store_neighbours(Vec<float> v, bf16x2* p) {
    for (int i = 0; i < width; i += 2) p[i / 2] = narrowed_pair(v.r[i], v.r[i + 1]);
  }
  LAIM_INLINE void store(bf16x2* p, int64_t n = width) const {
    for (int i = 0; i < n; ++i) p[i] = r[i];
  }
  static LAIM_INLINE Vec<float> fma(Vec a, Vec b, Vec<float> c) {
    return by_lane<Vec<float>>([&](int i) { return dot(a.r[i], b.r[i], c.r[i]); });
  }
};
#endif

// The micro-tile of the matrix kernels: rows x (vectors * width) sums kept in registers.
struct VectorTile {
  static constexpr int rows = 4, vectors = 4;
  static constexpr int64_t dot_rows = 4;  // up to which dot products may beat packing
};

constexpr const char* name = "scalar";

}  // namespace laim::LAIM_ISA
