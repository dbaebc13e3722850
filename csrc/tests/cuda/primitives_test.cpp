// Each primitive of csrc/cuda/ptx.cuh on numbers for which its result is exact. With a path as argument the results are
// also written there: scripts/gpu_check.sh compares, byte by byte, what a GPU and the host twins write.
#include "cuda/ptx.cuh"

#include <cstdlib>
#include <cstring>

#include "tests/cuda/device.h"

namespace laim::test {
namespace {

using namespace laim::cuda;

constexpr int results = 25;  // 32-bit words of each lane

// One warp. a: (16, 16), b: (16, 8), small integers; x: 64 floats; out: (32, results).
template <class S>
LAIM_KERNEL(32, 1)
primitives_kernel(const S* a, const S* b, const float* x, uint32_t* out) {
  S* const shared = reinterpret_cast<S*>(shared_memory());
  const int lane = lane_index();
  cp_async_16(shared + lane * 8, a + lane * 8, 16);
  if (lane < 16) cp_async_16(shared + 256 + lane * 8, b + lane * 8, 16);
  cp_async_commit();
  cp_async_16(shared + 384 + lane * 8, a + lane * 8, lane % 9 * 2);  // the rest of the 16 bytes becomes zeros
  float* const numbers = reinterpret_cast<float*>(shared + 640);
  cp_async_4(numbers + lane, x + lane, lane % 3 != 0);
  cp_async_commit();
  cp_async_wait<1>();
  warp_barrier();
  uint32_t left[4], straight[4], right[4];
  ldmatrix_x4<false>(left, shared + lane % 16 * 16 + lane / 16 * 8);
  ldmatrix_x4<true>(straight, shared + lane % 16 * 16 + lane / 16 * 8);
  ldmatrix_x4<true>(right, shared + 256 + lane % 16 * 8);
  float d[4] = {0, 1, 2, 3};
  mma_16816<S>(d, left, right[0], right[1]);
  cp_async_wait<0>();
  const Chunk partly = load_shared(reinterpret_cast<const Chunk*>(shared + 384 + lane * 8));
  const float own = load_global(x + lane);

  uint32_t* to = out + lane * results;
  const auto put = [&](uint32_t word) { store_global(to++, word); };
  for (int i = 0; i < 4; ++i) put(left[i]);
  for (int i = 0; i < 4; ++i) put(straight[i]);
  for (int i = 0; i < 4; ++i) put(uint32_t(int(d[i])));
  for (int i = 0; i < 4; ++i) put(partly.word[i]);
  put(pack<S>(own, load_global(x + 32 + lane)));
  for (int mask = 1; mask < 32; mask *= 2) put(pack<S>(shuffle_xor(own, mask), 0.0f));
  put(pack<S>(exp2_approx(float(lane - 16)), 0.0f));
  put(uint32_t(lane));
  put(load_shared(reinterpret_cast<const uint32_t*>(numbers + lane)));
}

template <class S>
void test_primitives(std::FILE* file) {
  std::vector<S> a(256), b(128);
  for (int i = 0; i < 256; ++i) a[i] = stored<S>(i * 37 % 23 - 11);
  for (int i = 0; i < 128; ++i) b[i] = stored<S>(i * 29 % 19 - 9);
  const auto x = random_values<float>(64, 3, 1000.0);
  Device<S> in_a("a", a), in_b("b", b);
  Device<float> in_x("x", x);
  Device<uint32_t> out("out", 32 * results);
  const std::string what = std::string(name_of<S>) + " primitives";
  if (!run({1, 1, 1, 32, 640 * 2 + 128}, what, primitives_kernel<S>, static_cast<const S*>(in_a.data()),
           static_cast<const S*>(in_b.data()), static_cast<const float*>(in_x.data()), out.data()))
    return;
  const auto found = out.values();
  if (file) std::fwrite(found.data(), sizeof(uint32_t), found.size(), file);

  const auto word = [&](int lane, int i) { return found[lane * results + i]; };
  const auto both = [](S low, S high) { return uint32_t(low.bits) | uint32_t(high.bits) << 16; };
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const std::string at = what + " lane " + std::to_string(lane) + " ";
    for (int i = 0; i < 4; ++i) {
      const int row = g + i % 2 * 8, column = 2 * t + i / 2 * 8;
      check(word(lane, i) == both(a[row * 16 + column], a[row * 16 + column + 1]), at + "ldmatrix");
      const int turned_row = 2 * t + i % 2 * 8, turned_column = g + i / 2 * 8;
      check(word(lane, 4 + i) == both(a[turned_row * 16 + turned_column], a[(turned_row + 1) * 16 + turned_column]),
            at + "ldmatrix.trans");
      double expected = i;
      for (int k = 0; k < 16; ++k) expected += value(a[(g + i / 2 * 8) * 16 + k]) * value(b[k * 8 + 2 * t + i % 2]);
      check(int(word(lane, 8 + i)) == int(expected), at + "mma: off by " +
                                                         std::to_string(int(word(lane, 8 + i)) - int(expected)) +
                                                         " at element " + std::to_string(i));
      const int valid = lane % 9;
      const S low = 2 * i < valid ? a[lane * 8 + 2 * i] : S{0},
              high = 2 * i + 1 < valid ? a[lane * 8 + 2 * i + 1] : S{0};
      check(word(lane, 12 + i) == both(low, high), at + "cp.async with zeros");
    }
    check(word(lane, 16) == both(stored<S>(double(x[lane])), stored<S>(double(x[32 + lane]))), at + "pack");
    for (int i = 0; i < 5; ++i)
      check(word(lane, 17 + i) == both(stored<S>(double(x[lane ^ 1 << i])), S{0}), at + "shuffle");
    float number;
    std::memcpy(&number, &found[lane * results + 24], sizeof(number));
    const float off = number - (lane % 3 == 0 ? 0.0f : x[lane]);
    check(off == 0, at + "cp.async of a number: off by " + std::to_string(off) + " at element " + std::to_string(lane));
    check(word(lane, 22) == both(stored<S>(std::ldexp(1.0, lane - 16)), S{0}), at + "exp2 of an integer");
  }
}

}  // namespace
}  // namespace laim::test

int main(int count, char** arguments) {
  std::FILE* file = count > 1 ? std::fopen(arguments[1], "wb") : nullptr;
  laim::test::test_primitives<laim::bf16>(file);
  laim::test::test_primitives<laim::fp16>(file);
  if (file) std::fclose(file);
  return laim::test::summary();
}
