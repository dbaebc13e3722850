#define LAIM_ISA amx
#include "cpu/tile/amx.h"
// after the tiles
#include "tests/tile_primitives.h"
