#include <cstring>

#include "cpu/dispatch.h"
#include "tests/check.h"

int main(int count, char** arguments) {
  using namespace laim;
  const char* wanted = count > 1 ? arguments[1] : "scalar";
  for (int i = 0; i < int(Isa::count); ++i) {
    const Isa isa = Isa(i);
    if (std::strcmp(isa_name(isa), wanted) != 0) continue;
    if (!isa_supported(isa)) {
      std::printf("skipped: this CPU has no %s\n", wanted);
      return 77;
    }
    test::test_rows_and_products(kernel_table(isa));
    test::test_norms(kernel_table(isa));
    test::test_attention(kernel_table(isa));
    std::printf("%s: %d failures\n", wanted, test::failures);
    return test::failures == 0 ? 0 : 1;
  }
  std::printf("unknown instruction set %s\n", wanted);
  return 1;
}
