// Which kernels this CPU gets: decided once, from one table.
#pragma once
#include "core/kernels.h"

namespace laim {

enum class Isa : int { scalar, avx2, avx512, avx512bf16, amx, count };

const char* isa_name(Isa isa);
bool isa_built(Isa isa);      // compiled into this binary
bool isa_supported(Isa isa);  // built, and this CPU and its system can run it

// The fastest supported one, or what LAIMBENCH_ISA asks for. Throws std::runtime_error when that is unknown or
// not supported here.
Isa chosen_isa();

// Why that one, for people.
const char* isa_reason();

// The kernels of an instruction set that is supported.
const KernelTable& kernel_table(Isa isa);

template <class S>
const Kernels<S>& kernels_of(const KernelTable& table);

}  // namespace laim
