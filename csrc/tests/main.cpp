// kernels_test ISA: the kernels of one instruction set, or of `twin`, which are avx512bf16's bf16 kernels in plain C++.
#include <cstring>

#include "cpu/dispatch.h"
#include "tests/check.h"

namespace laim::twin {
extern const Kernels<bf16> bf16_kernels;
}

namespace laim::test {
namespace {

int run(const KernelTable& table, Isa isa, const char* name) {
  test_rows_and_products(table);
  test_norms(table);
  test_attention(table);
  test_pairs(isa);
  std::printf("%s: %d failures\n", name, failures);
  return failures == 0 ? 0 : 1;
}

int run(const char* wanted) {
  if (std::strcmp(wanted, "twin") == 0) {
    const KernelTable& scalar = kernel_table(Isa::scalar);
    return run({scalar.f64, scalar.f32, twin::bf16_kernels}, Isa::scalar, wanted);
  }
  for (int i = 0; i < int(Isa::count); ++i) {
    const Isa isa = Isa(i);
    if (std::strcmp(isa_name(isa), wanted) != 0) continue;
    if (isa_supported(isa)) return run(kernel_table(isa), isa, wanted);
    std::printf("skipped: this CPU has no %s\n", wanted);
    return 77;
  }
  std::printf("unknown instruction set %s\n", wanted);
  return 1;
}

}  // namespace
}  // namespace laim::test

int main(int count, char** arguments) { return laim::test::run(count > 1 ? arguments[1] : "scalar"); }
