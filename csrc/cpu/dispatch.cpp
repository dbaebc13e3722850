#include "cpu/dispatch.h"

#if defined(LAIM_X86) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

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
namespace avx512bf16 {
extern const Kernels<bf16> bf16_kernels;
}
namespace amx {
extern const Kernels<bf16> bf16_attention;
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
bool has_avx512bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }

// The system saves tiles only for processes that have asked. It refuses where a signal's stack is too small for them.
bool tiles_permitted() {
#ifdef __linux__
  constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
#else
  return false;
#endif
}
bool has_amx() {
  static const bool found =
      has_avx512bf16() && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") && tiles_permitted();
  return found;
}

// A dot product of pairs does twice the work of a fused multiply-add. AMD issues as many of them (Zen 4: 232 GFLOP/s a
// core against 117). Intel with AMX issues a quarter (117 against 234): there fp32 products of widened operands win.
bool pairs_pay() {
  __builtin_cpu_init();
  return __builtin_cpu_is("amd");
}

// Tiles multiply for attention. Other products of bf16 are stock's, which uses tiles too, and the rest does without
// pairs, which are slow where there are tiles.
const KernelTable& amx_table() {
  static const KernelTable table = [] {
    KernelTable made = avx512::table;
    made.bf.attention = amx::bf16_attention.attention;
    made.bf.attention_backward = amx::bf16_attention.attention_backward;
    return made;
  }();
  return table;
}

const KernelTable& avx512bf16_table() {
  static const KernelTable table = {avx512::table.f64, avx512::table.f32, avx512bf16::bf16_kernels};
  return table;
}
#else
bool pairs_pay() { return false; }
#endif

struct Row {
  Isa isa;
  const char* name;
  bool built;
  bool (*supported)();
};

#ifdef LAIM_X86
constexpr bool x86 = true;
#else
constexpr bool x86 = false;
constexpr auto has_avx2 = always, has_avx512 = always, has_avx512bf16 = always, has_amx = always;
#endif

// Slowest first, where pairs pay.
const Row rows[] = {
    {Isa::scalar, "scalar", true, always},    {Isa::avx2, "avx2", x86, has_avx2},
    {Isa::avx512, "avx512", x86, has_avx512}, {Isa::avx512bf16, "avx512bf16", x86, has_avx512bf16},
    {Isa::amx, "amx", x86, has_amx},
};

const Row& row(Isa isa) { return rows[static_cast<int>(isa)]; }

struct Choice {
  Isa isa;
  const char* reason;
};

Choice choose() {
  const char* wanted = std::getenv("LAIMBENCH_ISA");
  if (wanted != nullptr && *wanted != '\0') {
    std::string known;
    for (const Row& candidate : rows) {
      if (std::string(wanted) == candidate.name) {
        if (!isa_supported(candidate.isa))
          throw std::runtime_error(std::string("LAIMBENCH_ISA=") + wanted + ": this CPU or build does not support it");
        return {candidate.isa, "LAIMBENCH_ISA"};
      }
      known += std::string(known.empty() ? "" : ", ") + candidate.name;
    }
    throw std::runtime_error(std::string("LAIMBENCH_ISA=") + wanted + ": unknown, expected one of " + known);
  }
  if (isa_supported(Isa::avx512bf16) && !isa_supported(Isa::amx) && !pairs_pay())
    return {Isa::avx512, "this processor's avx512_bf16 dot products are slower than its fp32 multiply-adds"};
  Isa best = Isa::scalar;
  for (const Row& candidate : rows)
    if (isa_supported(candidate.isa)) best = candidate.isa;
  return {best, "the fastest that this processor supports"};
}

const Choice& choice() {
  static const Choice made = choose();
  return made;
}

}  // namespace

const char* isa_name(Isa isa) { return row(isa).name; }
bool isa_built(Isa isa) { return row(isa).built; }
bool isa_supported(Isa isa) { return isa_built(isa) && row(isa).supported(); }

Isa chosen_isa() { return choice().isa; }
const char* isa_reason() { return choice().reason; }

const KernelTable& kernel_table(Isa isa) {
  switch (isa) {
#ifdef LAIM_X86
    case Isa::avx2: return avx2::table;
    case Isa::avx512: return avx512::table;
    case Isa::avx512bf16: return avx512bf16_table();
    case Isa::amx: return amx_table();
#endif
    default: return scalar::table;
  }
}

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
