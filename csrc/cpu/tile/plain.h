// The twin of amx.h in plain C++.
#pragma once
#include "core/tiles.h"

namespace laim::LAIM_ISA {

LAIM_INLINE TileFile& tile_file() {
  static thread_local TileFile file;
  return file;
}

// Outside its life the registers hold what no result may depend on.
struct TileRegisters {
  LAIM_INLINE TileRegisters() { __builtin_memset(&tile_file(), 0, sizeof(TileFile)); }
  LAIM_INLINE ~TileRegisters() { __builtin_memset(&tile_file(), 0xff, sizeof(TileFile)); }
};

template <int tile>
LAIM_INLINE void tile_zero() {
  tile_file().zero(tile);
}
template <int tile>
LAIM_INLINE void tile_load(const void* from, int64_t stride) {
  tile_file().load(tile, from, stride);
}
template <int tile>
LAIM_INLINE void tile_store(void* to, int64_t stride) {
  tile_file().store(tile, to, stride);
}
template <int sum, int left, int right>
LAIM_INLINE void tile_dot() {
  tile_file().dot(sum, left, right);
}

}  // namespace laim::LAIM_ISA
