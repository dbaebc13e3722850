// One lane: any CPU, and the easiest to step through in a debugger.
#pragma once
#include <math.h>

#include "core/common.h"

namespace laim::LAIM_ISA {

template <class T>
struct Vec {
  static constexpr int width = 1;
  using Mask = bool;
  T r;

  static LAIM_INLINE Vec zero() { return {T(0)}; }
  static LAIM_INLINE Vec all(T x) { return {x}; }
  static LAIM_INLINE Vec load(const T* p) { return {*p}; }
  static LAIM_INLINE Vec load(const bf16* p) { return {T(to_float(*p))}; }
  template <class S>
  static LAIM_INLINE Vec load(const S* p, int64_t) {
    return load(p);
  }
  LAIM_INLINE void store(T* p) const { *p = r; }
  LAIM_INLINE void store(bf16* p) const { *p = to_bf16(float(r)); }
  template <class S>
  LAIM_INLINE void store(S* p, int64_t) const {
    store(p);
  }

  friend LAIM_INLINE Vec operator+(Vec a, Vec b) { return {a.r + b.r}; }
  friend LAIM_INLINE Vec operator-(Vec a, Vec b) { return {a.r - b.r}; }
  friend LAIM_INLINE Vec operator*(Vec a, Vec b) { return {a.r * b.r}; }
  friend LAIM_INLINE Vec operator/(Vec a, Vec b) { return {a.r / b.r}; }
  // a * b + c, c - a * b
  static LAIM_INLINE Vec fma(Vec a, Vec b, Vec c) { return {a.r * b.r + c.r}; }
  static LAIM_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {c.r - a.r * b.r}; }
  // The second operand wins when either is NaN.
  static LAIM_INLINE Vec max(Vec a, Vec b) { return {a.r > b.r ? a.r : b.r}; }
  static LAIM_INLINE Vec min(Vec a, Vec b) { return {a.r < b.r ? a.r : b.r}; }
  static LAIM_INLINE Vec abs(Vec a) { return {T(__builtin_fabs(a.r))}; }
  static LAIM_INLINE Mask less(Vec a, Vec b) { return a.r < b.r; }
  static LAIM_INLINE Mask both(Mask a, Mask b) { return a && b; }
  static LAIM_INLINE bool any(Mask a) { return a; }
  static LAIM_INLINE Vec select(Mask m, Vec yes, Vec no) { return m ? yes : no; }
  static LAIM_INLINE Vec round(Vec a) { return {T(__builtin_rint(a.r))}; }
  // a * 2^n for integral n; underflows gradually, overflows to infinity.
  static LAIM_INLINE Vec scale2(Vec a, Vec n) { return {T(__builtin_ldexp(double(a.r), int(n.r)))}; }
  LAIM_INLINE T sum() const { return r; }
  LAIM_INLINE T maximum() const { return r; }
};

LAIM_INLINE void transpose(Vec<float> (&)[1]) {}

// The micro-tile of the matrix kernels: rows x (vectors * width) sums kept in registers.
struct Tile {
  static constexpr int rows = 4, vectors = 4;
};

constexpr const char* name = "scalar";

}  // namespace laim::LAIM_ISA
