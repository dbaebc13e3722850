// The primitives on pairs of one policy, on sixteen lanes: an instruction and its twin are to give the same bits. And
// exp, whose bound is stated in math.inl.
#pragma once
#include "core/pairs.h"

namespace laim::test {

struct PairPrimitives {
  void (*dot)(const bf16x2* a, const bf16x2* b, float* c);                            // c += a b
  void (*narrow)(const float* first, const float* second, bf16x2* out);               // lanes paired
  void (*neighbours)(const float* numbers, bf16x2* out);                              // sixteen numbers, eight pairs
  void (*load)(const bf16* numbers, int64_t n, bf16x2* out);                          // n pairs, then zeros
  void (*interleave)(const bf16* first, const bf16* second, int64_t n, bf16x2* out);  // n pairs, then zeros
  void (*exp)(const float* numbers, float* out);
};

}  // namespace laim::test

#ifdef LAIM_ISA  // included after a policy
namespace laim::LAIM_ISA {

extern const test::PairPrimitives pair_primitives;
constexpr test::PairPrimitives made_primitives = {
    [](const bf16x2* a, const bf16x2* b, float* c) {
      using W = Vec<bf16x2>;
      using V = Vec<float>;
      for (int i = 0; i < 16; i += W::width) W::fma(W::load(a + i), W::load(b + i), V::load(c + i)).store(c + i);
    },
    [](const float* first, const float* second, bf16x2* out) {
      using W = Vec<bf16x2>;
      using V = Vec<float>;
      for (int i = 0; i < 16; i += W::width) W::interleave(V::load(first + i), V::load(second + i)).store(out + i);
    },
    [](const float* numbers, bf16x2* out) {
      using W = Vec<bf16x2>;
      for (int i = 0; i < 16; i += W::width) W::store_neighbours(Vec<float>::load(numbers + i), out + i / 2);
    },
    [](const bf16* numbers, int64_t n, bf16x2* out) {
      using W = Vec<bf16x2>;
      for (int i = 0; i < 16; i += W::width) W::load(numbers + 2 * i, clamp(n - i, 0, W::width)).store(out + i);
    },
    [](const bf16* first, const bf16* second, int64_t n, bf16x2* out) {
      using W = Vec<bf16x2>;
      for (int i = 0; i < 16; i += W::width)
        W::interleave(first + i, second ? second + i : nullptr, clamp(n - i, 0, W::width)).store(out + i);
    },
    [](const float* numbers, float* out) {
      using V = Vec<float>;
      for (int i = 0; i < 16; i += V::width) exp(V::load(numbers + i)).store(out + i);
    }};
const test::PairPrimitives pair_primitives = made_primitives;

}  // namespace laim::LAIM_ISA
#endif
