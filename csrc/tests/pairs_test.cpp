// Pairs of bf16: the plain C++ against numbers worked out by hand, the instructions against the plain C++, to the bit.
#include <cstring>
#include <limits>

#include "tests/check.h"
#include "tests/pair_primitives.h"

namespace laim {
namespace twin {
extern const test::PairPrimitives pair_primitives;
}
#ifdef LAIM_X86
namespace avx512bf16 {
extern const test::PairPrimitives pair_primitives;
}
#endif
}  // namespace laim

namespace laim::test {
namespace {

uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}

// NaN is equal to NaN: which one comes out of several is nobody's business.
bool same(float a, float b) { return bits_of(a) == bits_of(b) || (a != a && b != b); }
bool same(bf16 a, bf16 b) { return a.bits == b.bits || same(to_float(a), to_float(b)); }
bool same(bf16x2 a, bf16x2 b) { return same(first_of(a), first_of(b)) && same(second_of(a), second_of(b)); }

bf16x2 pair(float first, float second) { return pair_of(to_bf16(first), to_bf16(second)); }

void test_plain() {
  const float tiny = 1e-39f, infinity = std::numeric_limits<float>::infinity();
  check(dot(pair(2, 3), pair(5, 7), 1) == 32, "1 + 2 * 5 + 3 * 7");
  check(dot(pair(tiny, 1), pair(1e30f, 1), 0) == 1, "a denormal operand counts as zero");
  check(dot(pair(0, 0), pair(0, 0), tiny) == 0, "a denormal sum counts as zero");
  check(dot(pair(1e-20f, 0), pair(1e-20f, 0), 0) == 0, "a denormal result becomes zero");
  check(std::isnan(dot(pair(infinity, 0), pair(0, 0), 1)), "infinity times zero is not a number");
  check(dot(pair(infinity, 1), pair(1, 1), 1) == infinity, "infinity stays");
  check(dot(pair(1, -1), pair(16777216.0f, 16777216.0f), 1) == 1, "the second numbers are added first");
  check(same(narrowed_pair(1.00390625f, tiny), pair(1, 0)), "a tie goes to the even number, a denormal to zero");
}

// Every 997th float: within 2 ulp where the result is a normal number, else within the smallest denormal's double.
void test_exp(const PairPrimitives& primitives, const std::string& what) {
  double worst = 0, worst_denormal = 0;
  float numbers[16], found[16];
  int count = 0;
  for (uint64_t bits = 0; bits < uint64_t(1) << 32; bits += 997) {
    const uint32_t word = uint32_t(bits);
    std::memcpy(&numbers[count++], &word, 4);
    if (count < 16) continue;
    count = 0;
    primitives.exp(numbers, found);
    for (int i = 0; i < 16; ++i) {
      const double expected = std::exp(double(numbers[i])), off = std::fabs(double(found[i]) - expected);
      if (expected != expected) {
        check(found[i] != found[i], what + " exp of NaN");
      } else if (numbers[i] < -104.0f) {
        check(found[i] == 0, what + " exp far below zero");
      } else if (numbers[i] > 88.7f) {
        check(found[i] >= 3.3e38f, what + " exp beyond the largest float");
      } else if (expected < double(FLT_MIN)) {
        worst_denormal = std::max(worst_denormal, off / 1.401298464324817e-45);
      } else {
        int exponent;
        std::frexp(expected, &exponent);
        worst = std::max(worst, off / std::ldexp(1.0, exponent - 24));
      }
    }
  }
  check(worst <= 2 && worst_denormal <= 2, what + " exp off by " + std::to_string(worst) +
                                               " ulp, denormal results by " + std::to_string(worst_denormal) +
                                               " of the smallest");
}

// Numbers of every kind: any bits, and ordinary ones whose sums round.
template <class T>
std::vector<T> any_numbers(size_t count, uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::vector<T> numbers = random_values<T>(count, seed);
  for (size_t i = 0; i < count; i += 2) {
    const uint32_t bits = uint32_t(generator());
    std::memcpy(&numbers[i], &bits, sizeof(T));
  }
  return numbers;
}

[[maybe_unused]] void test_instructions(const PairPrimitives& found, const PairPrimitives& expected,
                                        const std::string& what) {
  int off[5] = {};
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    const auto a = any_numbers<bf16>(32, 2 * seed), b = any_numbers<bf16>(32, 2 * seed + 1);
    const auto c = any_numbers<float>(16, seed), d = any_numbers<float>(16, seed + 5000);
    bf16x2 pairs_a[16], pairs_b[16], out[2][16];
    std::memcpy(pairs_a, a.data(), 64), std::memcpy(pairs_b, b.data(), 64);
    std::vector<float> sums[2] = {c, c};
    const PairPrimitives* sides[2] = {&found, &expected};
    const auto count_differences = [&](int which, int lanes) {
      for (int i = 0; i < lanes; ++i) off[which] += !same(out[0][i], out[1][i]);
    };
    for (int s = 0; s < 2; ++s) sides[s]->dot(pairs_a, pairs_b, sums[s].data());
    for (int i = 0; i < 16; ++i) off[0] += !same(sums[0][i], sums[1][i]);
    for (int s = 0; s < 2; ++s) sides[s]->narrow(c.data(), d.data(), out[s]);
    count_differences(1, 16);
    for (int s = 0; s < 2; ++s) sides[s]->neighbours(c.data(), out[s]);
    count_differences(2, 8);
    const int64_t n = int64_t(seed % 17);
    for (int s = 0; s < 2; ++s) sides[s]->load(a.data(), n, out[s]);
    count_differences(3, 16);
    for (int s = 0; s < 2; ++s) sides[s]->interleave(a.data(), seed % 3 ? b.data() : nullptr, n, out[s]);
    count_differences(4, 16);
  }
  const char* names[5] = {"dot product", "narrowing of lanes", "narrowing of neighbours", "load", "interleaving"};
  for (int i = 0; i < 5; ++i)
    check(off[i] == 0, what + " " + names[i] + ": " + std::to_string(off[i]) + " lanes differ from its twin");
}

}  // namespace

void test_pairs([[maybe_unused]] Isa isa) {
  test_plain();
#ifdef LAIM_X86
  if (isa == Isa::avx512bf16) {
    test_instructions(avx512bf16::pair_primitives, twin::pair_primitives, "avx512bf16");
    return test_exp(avx512bf16::pair_primitives, "avx512bf16");
  }
#endif
  test_exp(twin::pair_primitives, "twin");
}

}  // namespace laim::test
