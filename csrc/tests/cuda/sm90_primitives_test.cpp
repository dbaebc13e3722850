// The primitives of csrc/cuda/ptx_sm90.cuh and wgmma.cuh on numbers for which their result is exact. With a path as
// argument the results are also written there, for a comparison of a GPU with the host twins.
#include "cuda/wgmma.cuh"

#include <cstring>

#include "tests/cuda/device.h"

namespace laim::test {
namespace {

using namespace laim::cuda;

constexpr int box_bytes = 64 * 128, rounds = 3, b_boxes = 4, sums = 128;

struct Corner {
  int64_t row, column;
};

// One warpgroup, of which thread 0 also loads. D = A B of one box of A and four of B, in the last of several rounds
// that all use the same memory. raw: A's box as it lies in shared memory, word by word.
template <class S, bool a_transposed, bool b_transposed>
LAIM_KERNEL(128, 1)
products_kernel(LAIM_ARGUMENT TensorMap a, LAIM_ARGUMENT Corner at_a, LAIM_ARGUMENT TensorMap b,
                LAIM_ARGUMENT Corner at_b, uint32_t* raw, float* out) {
  uint8_t *const box_a = shared_memory(), *const box_b = box_a + box_bytes;
  Mbarrier *const full = reinterpret_cast<Mbarrier*>(box_b + b_boxes * box_bytes), *const empty = full + 1;
  const int thread = thread_index();
  if (thread == 0) {
    mbarrier_init(full, 1);
    mbarrier_init(empty, 4);
    mbarrier_fence_init();
  }
  block_barrier();
  float d[sums];
  for (int round = 0; round < rounds; ++round) {
    if (thread == 0) {
      if (round > 0) mbarrier_wait(empty, (round - 1) % 2);
      mbarrier_arrive_expect(full, (1 + b_boxes) * box_bytes);
      load_box(box_a, a, at_a.row, at_a.column, full);
      for (int i = 0; i < b_boxes; ++i)
        load_box(box_b + i * box_bytes, b, at_b.row + (b_transposed ? 0 : 64 * i),
                 at_b.column + (b_transposed ? 64 * i : 0), full);
    }
    warp_barrier();
    mbarrier_wait(full, round % 2);
    LAIM_UNROLL
    for (int i = 0; i < sums; ++i) d[i] = float(round);
    const uint64_t from_a = operand_descriptor(box_a, 0), from_b = operand_descriptor(box_b, box_bytes);
    LAIM_UNROLL
    for (int group = 0; group < 2; ++group) {
      wgmma_fence(d);
      LAIM_UNROLL
      for (int step = group * 2; step < group * 2 + 2; ++step)
        wgmma_64_256_16<S, a_transposed, b_transposed>(d, next_step<a_transposed>(from_a, step),
                                                       next_step<b_transposed>(from_b, step));
      wgmma_commit();
    }
    wgmma_wait<1>(d);
    wgmma_wait<0>(d);
    if (lane_index() == 0) mbarrier_arrive(empty);
  }
  for (int i = thread; i < box_bytes / 4; i += 128)
    store_global(raw + i, load_shared(reinterpret_cast<const uint32_t*>(box_a) + i));
  LAIM_UNROLL
  for (int i = 0; i < sums; ++i) store_global(out + thread * sums + i, d[i]);
}

template <class S, bool a_transposed, bool b_transposed>
void test_products(std::FILE* file, Corner at_a, Corner at_b) {
  constexpr int64_t rows = 270, columns = 280, stride = 288;  // of both matrices
  std::vector<S> a(rows * stride), b(rows * stride);
  for (int i = 0; i < int(a.size()); ++i) a[i] = stored<S>(i * 37 % 13 - 6), b[i] = stored<S>(i * 29 % 11 - 5);
  const auto in = [&](const std::vector<S>& matrix, int64_t row, int64_t column) {
    return row < 0 || row >= rows || column < 0 || column >= columns ? S{0} : matrix[row * stride + column];
  };
  Device<S> in_a("a", a), in_b("b", b);
  Device<uint32_t> raw("raw", box_bytes / 4);
  Device<float> out("out", 128 * sums);
  TensorMap map_a, map_b;
  const std::string what = std::string(name_of<S>) + " products" + (a_transposed ? ", A transposed" : "") +
                           (b_transposed ? ", B transposed" : "");
  for (const char* error : {make_tensor_map(&map_a, in_a.data(), columns, rows, stride, 64),
                            make_tensor_map(&map_b, in_b.data(), columns, rows, stride, 64)})
    check(error == nullptr, what + ": " + (error ? error : ""));
  if (!run({1, 1, 1, 128, (1 + b_boxes) * box_bytes + 16}, what, products_kernel<S, a_transposed, b_transposed>, map_a,
           at_a, map_b, at_b, raw.data(), out.data()))
    return;
  const auto words = raw.values();
  const auto found = out.values();
  if (file) std::fwrite(words.data(), 4, words.size(), file), std::fwrite(found.data(), 4, found.size(), file);

  for (int row = 0; row < 64; ++row)
    for (int column = 0; column < 64; ++column) {
      const int element = row * 64 + (column / 8 ^ row % 8) * 8 + column % 8;
      check(uint16_t(words[element / 2] >> element % 2 * 16) == in(a, at_a.row + row, at_a.column + column).bits,
            what + ": the box at row " + std::to_string(row) + " column " + std::to_string(column));
    }
  for (int thread = 0; thread < 128; ++thread)
    for (int i = 0; i < sums; ++i) {
      const int row = thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + thread % 4 * 2 + i % 2;
      double sum = rounds - 1;
      for (int k = 0; k < 64; ++k)
        sum +=
            value(a_transposed ? in(a, at_a.row + k, at_a.column + row) : in(a, at_a.row + row, at_a.column + k)) *
            value(b_transposed ? in(b, at_b.row + k, at_b.column + column) : in(b, at_b.row + column, at_b.column + k));
      const double off = found[thread * sums + i] - sum;
      check(off == 0, what + ": off by " + std::to_string(off) + " at element " + std::to_string(i) + " of thread " +
                          std::to_string(thread));
    }
}

template <class S>
void test_type(std::FILE* file) {
  test_products<S, false, false>(file, {0, 0}, {0, 0});
  test_products<S, false, false>(file, {209, 232}, {-3, 240});  // past the last row and column, before the first
  test_products<S, false, true>(file, {209, 232}, {2, 40});
  test_products<S, true, false>(file, {-5, -8}, {0, 8});
  test_products<S, true, true>(file, {1, 3}, {0, 0});
}

}  // namespace
}  // namespace laim::test

int main(int count, char** arguments) {
  std::FILE* file = count > 1 ? std::fopen(arguments[1], "wb") : nullptr;
  laim::test::test_type<laim::bf16>(file);
  laim::test::test_type<laim::fp16>(file);
  if (file) std::fclose(file);
  return laim::test::summary();
}
