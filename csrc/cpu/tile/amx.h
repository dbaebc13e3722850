// The instructions of AMX on bf16. Inline assembly, for the compilers' intrinsics want a literal as the register's
// number, and GCC 12's do not say that they read the whole configuration.
#pragma once
#include "core/tiles.h"

namespace laim::LAIM_ISA {

// Gives the thread its tile registers, all of them whole, and takes them back: other libraries configure their own, and
// a thread with none is cheaper to switch.
struct TileRegisters {
  LAIM_INLINE TileRegisters() {
    struct {
      uint8_t palette, start_row, reserved[14];
      uint16_t row_bytes[16];
      uint8_t rows[16];
    } config = {};
    static_assert(sizeof(config) == 64, "as the instruction reads it");
    config.palette = 1;
    for (int t = 0; t < TileFile::tiles; ++t)
      config.row_bytes[t] = 4 * TileFile::words, config.rows[t] = TileFile::rows;
    __asm__ volatile("ldtilecfg %0" : : "m"(config) : "memory");
  }
  LAIM_INLINE ~TileRegisters() { __asm__ volatile("tilerelease" : : : "memory"); }
};

template <int tile>
LAIM_INLINE void tile_zero() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(tile));
}
// Rows are `stride` bytes apart.
template <int tile>
LAIM_INLINE void tile_load(const void* from, int64_t stride) {
  __asm__ volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(tile), "r"(from), "r"(stride) : "memory");
}
template <int tile>
LAIM_INLINE void tile_store(void* to, int64_t stride) {
  __asm__ volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(tile), "r"(to), "r"(stride) : "memory");
}
// sum += left right
template <int sum, int left, int right>
LAIM_INLINE void tile_dot() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(left), "i"(right));
}

}  // namespace laim::LAIM_ISA
