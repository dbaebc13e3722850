// The kernels on pairs of bf16 in plain C++, four lanes wide: what they index and round is tested on any machine.
#define LAIM_ISA twin
#define LAIM_LANES 4
#define LAIM_PAIRS
#include "cpu/vec/scalar.h"
// after the policy
#include "cpu/kernels/table.inl"
#include "tests/pair_primitives.h"
