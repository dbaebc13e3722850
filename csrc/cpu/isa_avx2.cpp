#define LAIM_ISA avx2
#include "cpu/vec/avx2.h"
// after the policy
#include "cpu/kernels/table.inl"
