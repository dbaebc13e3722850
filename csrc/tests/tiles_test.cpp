// Tiles: the plain C++ against numbers worked out by hand, the instructions against the plain C++.
#include <limits>

#include "tests/check.h"
#include "tests/tile_primitives.h"

namespace laim {
namespace tiles_twin {
extern const test::TilePrimitives tile_primitives;
}
#ifdef LAIM_X86
namespace amx {
extern const test::TilePrimitives tile_primitives;
}
#endif
}  // namespace laim

namespace laim::test {
namespace {

constexpr int size = TileFile::rows, stride = 19;  // rows that do not follow each other

bf16x2 pair(float first, float second) { return pair_of(to_bf16(first), to_bf16(second)); }

void test_plain() {
  TileFile file = {};
  file.word[1][2][0] = pair(2, 3).bits, file.word[2][0][5] = pair(5, 7).bits;
  file.word[1][2][9] = pair(11, 0).bits, file.word[2][9][5] = pair(13, 17).bits;
  file.dot(0, 1, 2);
  float found[size][size];
  file.store(0, found, sizeof(found[0]));
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j)
      check(found[i][j] == (i == 2 && j == 5 ? 2 * 5 + 3 * 7 + 11 * 13 : 0), "a product of single numbers");
  file.word[1][2][0] = pair(1e-39f, 0).bits, file.word[2][0][5] = pair(1e30f, 0).bits;
  file.word[1][2][9] = 0;
  file.zero(0);
  file.dot(0, 1, 2);
  check(file.word[0][2][5] == 0, "a denormal operand counts as zero");
  file.word[1][2][0] = pair(std::numeric_limits<float>::infinity(), 0).bits, file.word[2][0][5] = 0;
  file.dot(0, 1, 2);
  file.store(0, found, sizeof(found[0]));
  check(std::isnan(found[2][5]), "infinity times zero is not a number");
}

// The manual gives an order of the additions; what is held against it is the error that any order has at most.
void test_primitives(const TilePrimitives& primitives, const std::string& what) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto left = random_values<bf16>(2 * size * stride, 3 * seed),
               right = random_values<bf16>(2 * size * stride, 3 * seed + 1);
    const auto sums = random_values<float>(size * stride, 3 * seed + 2);
    for (auto* dot : primitives.dot) {
      std::vector<float> out(size * stride, 99.0f), from_zero(size * stride, 99.0f);
      dot(reinterpret_cast<const bf16x2*>(left.data()), reinterpret_cast<const bf16x2*>(right.data()), sums.data(),
          out.data(), from_zero.data(), stride);
      for (int i = 0; i < size; ++i) {
        for (int j = 0; j < size; ++j) {
          double product = 0, magnitude = 0;
          for (int k = 0; k < 2 * size; ++k) {
            const double term = value(left[2 * i * stride + k]) * value(right[2 * (k / 2 * stride + j) + k % 2]);
            product += term, magnitude += std::fabs(term);
          }
          const double before = sums[i * stride + j], bound = 40 * std::ldexp(magnitude + std::fabs(before), -24);
          check(std::fabs(out[i * stride + j] - (before + product)) <= bound, what + ": a sum that goes on");
          check(std::fabs(from_zero[i * stride + j] - product) <= bound, what + ": a sum from zero");
        }
        for (int j = size; j < stride; ++j)
          check(out[i * stride + j] == 99.0f && from_zero[i * stride + j] == 99.0f, what + ": written beside the tile");
      }
    }
  }
}

}  // namespace

void test_tile_registers(bool instructions) {
  test_plain();
  test_primitives(tiles_twin::tile_primitives, "tiles_twin");
#ifdef LAIM_X86
  if (instructions) test_primitives(amx::tile_primitives, "amx");
#else
  check(!instructions, "no tiles on this machine");
#endif
}

}  // namespace laim::test
