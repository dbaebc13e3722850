// kernels_test TIER [threads]: the kernels of one instruction set, or of a twin in plain C++: `twin`, avx512bf16's bf16
// kernels, or `tiles_twin`, amx's attention.
#include <cstring>

#include "cpu/dispatch.h"
#include "tests/check.h"
#ifdef LAIM_EMULATED_AMX
#include "tests/amx_emulator.h"
#endif

namespace laim::twin {
extern const Kernels<bf16> bf16_kernels;
}
namespace laim::tiles_twin {
extern const Kernels<bf16> bf16_attention;
}

namespace laim::test {
namespace {

int run(const KernelTable& table, Isa isa, const char* name) {
  test_rows_and_products(table);
  test_norms(table);
  test_attention(table);
  test_pairs(isa);
  if (isa == Isa::amx) test_tile_registers(true);
  std::printf("%s: %d failures\n", name, failures);
  return failures == 0 ? 0 : 1;
}

int run_tiles_twin() {
  KernelTable table = kernel_table(Isa::scalar);
  table.bf.attention = tiles_twin::bf16_attention.attention;
  table.bf.attention_backward = tiles_twin::bf16_attention.attention_backward;
  test_attention(table);
  test_tile_registers(false);
  std::printf("tiles_twin: %d failures\n", failures);
  return failures == 0 ? 0 : 1;
}

int run(const char* wanted) {
  if (std::strcmp(wanted, "tiles_twin") == 0) return run_tiles_twin();
  if (std::strcmp(wanted, "twin") == 0) {
    const KernelTable& scalar = kernel_table(Isa::scalar);
    return run({scalar.f64, scalar.f32, twin::bf16_kernels}, Isa::scalar, wanted);
  }
  for (int i = 0; i < int(Isa::count); ++i) {
    const Isa isa = Isa(i);
    if (std::strcmp(isa_name(isa), wanted) != 0) continue;
    if (isa_supported(isa)) return run(kernel_table(isa), isa, wanted);
#ifdef LAIM_EMULATED_AMX
    if (isa == Isa::amx && isa_supported(Isa::avx512bf16)) {
      emulate_amx();
      return run(kernel_table(isa), isa, "amx, its instructions emulated");
    }
#endif
    std::printf("skipped: this CPU has no %s\n", wanted);
    return 77;
  }
  std::printf("unknown instruction set %s\n", wanted);
  return 1;
}

}  // namespace
}  // namespace laim::test

int main(int count, char** arguments) {
  if (count > 2) laim::test::any_order = laim::test::in_threads;
  return laim::test::run(count > 1 ? arguments[1] : "scalar");
}
