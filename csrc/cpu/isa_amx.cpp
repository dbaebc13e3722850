#define LAIM_ISA amx
#define LAIM_TILES
#include "cpu/vec/avx512bf16.h"
// after the policy
#include "cpu/tile/amx.h"
// after the tiles
#include "cpu/kernels/table.inl"
