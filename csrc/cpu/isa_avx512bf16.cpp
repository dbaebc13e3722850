#define LAIM_ISA avx512bf16
#include "cpu/vec/avx512bf16.h"
// after the policy
#include "cpu/kernels/table.inl"
