#define LAIM_ISA avx512
#include "cpu/vec/avx512.h"
// after the policy
#include "cpu/kernels/table.inl"
