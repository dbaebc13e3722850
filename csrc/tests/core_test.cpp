// Masks, bf16 rounding, scratch memory and dispatch.
#include "core/mask.h"

#include <cstring>
#include <limits>

#include "core/scratch.h"
#include "cpu/dispatch.h"
#include "tests/check.h"

namespace laim::test {
namespace {

bool sees(const Mask& mask, int64_t query, int64_t key) {
  const int64_t position = query + mask.keys - mask.queries;
  return key < mask.key_length && (!mask.causal || key <= position) &&
         (mask.window < 0 || std::abs(key - position) < mask.window);
}

void test_masks() {
  for (int64_t queries : {1, 2, 5})
    for (int64_t keys : {0, 1, 3, 7})
      for (int64_t window : {-1, 1, 2, 9})
        for (int64_t length = 0; length <= keys; ++length)
          for (bool causal : {false, true}) {
            const Mask mask = {queries, keys, length, window, causal};
            Interval before = {0, 0};
            for (int64_t query = 0; query < queries; ++query) {
              const Interval seen = mask.visible(query);
              for (int64_t key = 0; key < keys; ++key)
                check(sees(mask, query, key) == (seen.begin <= key && key < seen.end), "mask as defined");
              check(before.begin <= seen.begin && before.end <= seen.end, "mask intervals never go back");
              before = seen;
            }
            for (int64_t key = 0; key < keys; ++key) {
              const Interval seeing = mask.seeing_any(key, key);
              for (int64_t query = 0; query < queries; ++query)
                check(sees(mask, query, key) == (seeing.begin <= query && query < seeing.end), "who sees a key");
            }
          }
}

void test_bf16() {
  const float infinity = std::numeric_limits<float>::infinity();
  check(to_float(to_bf16(1.0f)) == 1.0f && to_float(to_bf16(-infinity)) == -infinity, "bf16 exact values");
  check(std::isnan(to_float(to_bf16(std::nanf("")))), "bf16 keeps NaN");
  check(to_float(to_bf16(1.00390625f)) == 1.0f, "bf16 ties to even, down");
  check(to_float(to_bf16(1.01171875f)) == 1.015625f, "bf16 ties to even, up");
  check(to_float(to_bf16(3.4e38f)) == infinity, "bf16 overflows to infinity");
  uint32_t payload = 0x7f800001u;  // a NaN whose upper half alone would be infinity
  float nan;
  std::memcpy(&nan, &payload, 4);
  check(std::isnan(to_float(to_bf16(nan))), "bf16 keeps every NaN");
}

void test_scratch() {
  double* first = scratch_of<double>(Slot::rows, 10);
  check(reinterpret_cast<uintptr_t>(first) % 64 == 0, "scratch is aligned");
  first[9] = 1;
  check(scratch_of<double>(Slot::rows, 5) == first, "scratch is kept");
  check(static_cast<void*>(scratch_of<double>(Slot::gemm_a, 10)) != static_cast<void*>(first), "slots are apart");
}

void test_dispatch() {
  check(isa_supported(Isa::scalar), "scalar runs everywhere");
  check(isa_supported(chosen_isa()), "the choice is supported");
}

}  // namespace
}  // namespace laim::test

int main() {
  laim::test::test_masks();
  laim::test::test_bf16();
  laim::test::test_scratch();
  laim::test::test_dispatch();
  std::printf("core: %d failures\n", laim::test::failures);
  return laim::test::failures == 0 ? 0 : 1;
}
