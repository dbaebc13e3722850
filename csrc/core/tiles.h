// The tile registers of AMX in plain C++: eight tiles of sixteen rows of sixteen words, and what its instructions do to
// them. cpu/tile/amx.h holds the instructions; this is their twin for tests on any machine.
#pragma once
#include "core/pairs.h"

namespace laim {

struct TileFile {
  static constexpr int tiles = 8, rows = 16, words = 16;
  uint32_t word[tiles][rows][words];

  LAIM_INLINE void zero(int tile) { __builtin_memset(word[tile], 0, sizeof(word[tile])); }
  // Rows are `stride` bytes apart.
  LAIM_INLINE void load(int tile, const void* from, int64_t stride) {
    for (int i = 0; i < rows; ++i)
      __builtin_memcpy(word[tile][i], static_cast<const char*>(from) + i * stride, sizeof(word[tile][i]));
  }
  LAIM_INLINE void store(int tile, void* to, int64_t stride) const {
    for (int i = 0; i < rows; ++i)
      __builtin_memcpy(static_cast<char*>(to) + i * stride, word[tile][i], sizeof(word[tile][i]));
  }

  // sum += left right: sums of floats, operands of pairs. The first numbers of the pairs are added in one chain, the
  // second ones in another, and both to what was there; denormals count as zeros.
  // Source: Intel Architecture Instruction Set Extensions Programming Reference, TDPBF16PS.
  LAIM_INLINE void dot(int sum, int left, int right) {
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < words; ++j) {
        float first = 0, second = 0, before;
        for (int k = 0; k < words; ++k) {
          const bf16x2 a = {word[left][i][k]}, b = {word[right][k][j]};
          first = multiply_add(first_of(a), first_of(b), first);
          second = multiply_add(second_of(a), second_of(b), second);
        }
        __builtin_memcpy(&before, &word[sum][i][j], sizeof(before));
        const float after = without_denormal(without_denormal(before) + without_denormal(first + second));
        __builtin_memcpy(&word[sum][i][j], &after, sizeof(after));
      }
  }
};

}  // namespace laim
