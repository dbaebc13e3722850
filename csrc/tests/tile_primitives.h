// The primitives on tiles of one policy, with every tile register taking every part once.
#pragma once
#include "core/tiles.h"

namespace laim::test {

// sums (16, 16) += left (16, 16 pairs) right (16 pairs, 16), rows `stride` words apart; sums are stored to `out`, one
// that had been zeroed to `from_zero`.
struct TilePrimitives {
  void (*dot[3])(const bf16x2* left, const bf16x2* right, const float* sums, float* out, float* from_zero,
                 int64_t stride);
};

}  // namespace laim::test

#ifdef LAIM_ISA  // included after the tiles
namespace laim::LAIM_ISA {

template <int sum, int zeroed, int left, int right>
void tile_dot_with(const bf16x2* a, const bf16x2* b, const float* sums, float* out, float* from_zero, int64_t stride) {
  const TileRegisters registers;
  tile_load<sum>(sums, 4 * stride);
  tile_load<left>(a, 4 * stride);
  tile_load<right>(b, 4 * stride);
  tile_load<zeroed>(sums, 4 * stride);
  tile_zero<zeroed>();
  tile_dot<sum, left, right>();
  tile_dot<zeroed, left, right>();
  tile_store<sum>(out, 4 * stride);
  tile_store<zeroed>(from_zero, 4 * stride);
}

extern const test::TilePrimitives tile_primitives;
constexpr test::TilePrimitives made_tile_primitives = {
    {&tile_dot_with<0, 1, 4, 6>, &tile_dot_with<2, 3, 5, 7>, &tile_dot_with<7, 6, 3, 1>}};
const test::TilePrimitives tile_primitives = made_tile_primitives;

}  // namespace laim::LAIM_ISA
#endif
