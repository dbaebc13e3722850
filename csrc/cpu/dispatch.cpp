#include "cpu/dispatch.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace laim {

namespace scalar {
extern const KernelTable table;
}
#ifdef LAIM_X86
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
#endif

namespace {

bool always() { return true; }

#ifdef LAIM_X86
// The compiler's runtime asks cpuid, and xgetbv whether the system saves the wide registers.
bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

struct Row {
  Isa isa;
  const char* name;
  const KernelTable* table;  // null: not built
  bool (*supported)();
};

// Slowest first.
const Row rows[] = {
    {Isa::scalar, "scalar", &scalar::table, always},
#ifdef LAIM_X86
    {Isa::avx2, "avx2", &avx2::table, has_avx2},
    {Isa::avx512, "avx512", &avx512::table, has_avx512},
#else
    {Isa::avx2, "avx2", nullptr, always},
    {Isa::avx512, "avx512", nullptr, always},
#endif
};

const Row& row(Isa isa) { return rows[static_cast<int>(isa)]; }

Isa choose() {
  const char* wanted = std::getenv("LAIMBENCH_ISA");
  if (wanted != nullptr && *wanted != '\0') {
    std::string known;
    for (const Row& candidate : rows) {
      if (std::string(wanted) == candidate.name) {
        if (!isa_supported(candidate.isa))
          throw std::runtime_error(std::string("LAIMBENCH_ISA=") + wanted + ": this CPU or build does not support it");
        return candidate.isa;
      }
      known += std::string(known.empty() ? "" : ", ") + candidate.name;
    }
    throw std::runtime_error(std::string("LAIMBENCH_ISA=") + wanted + ": unknown, expected one of " + known);
  }
  Isa best = Isa::scalar;
  for (const Row& candidate : rows)
    if (isa_supported(candidate.isa)) best = candidate.isa;
  return best;
}

}  // namespace

const char* isa_name(Isa isa) { return row(isa).name; }
bool isa_built(Isa isa) { return row(isa).table != nullptr; }
bool isa_supported(Isa isa) { return isa_built(isa) && row(isa).supported(); }

Isa chosen_isa() {
  static const Isa isa = choose();
  return isa;
}

const KernelTable& kernel_table(Isa isa) { return *row(isa).table; }

template <>
const Kernels<double>& kernels_of(const KernelTable& table) {
  return table.f64;
}
template <>
const Kernels<float>& kernels_of(const KernelTable& table) {
  return table.f32;
}
template <>
const Kernels<bf16>& kernels_of(const KernelTable& table) {
  return table.bf;
}

}  // namespace laim
