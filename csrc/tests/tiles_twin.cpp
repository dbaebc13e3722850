// Attention in tile registers in plain C++, sixteen lanes wide: what it indexes and rounds is tested on any machine.
#define LAIM_ISA tiles_twin
#define LAIM_LANES 16
#define LAIM_PAIRS
#define LAIM_TILES
#include "cpu/vec/scalar.h"
// after the policy
#include "cpu/tile/plain.h"
// after the tiles
#include "cpu/kernels/table.inl"
#include "tests/tile_primitives.h"
