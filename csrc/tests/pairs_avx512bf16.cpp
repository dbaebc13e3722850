#define LAIM_ISA avx512bf16
#include "cpu/vec/avx512bf16.h"
// after the policy
#include "core/kernels.h"
#include "cpu/kernels/math.inl"
#include "tests/pair_primitives.h"
