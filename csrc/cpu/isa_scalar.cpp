#define LAIM_ISA scalar
#include "cpu/vec/scalar.h"
// after the policy
#include "cpu/kernels/table.inl"
