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
        wgmma<S, a_transposed, b_transposed>(d, next_step<a_transposed>(from_a, step),
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

// What attention does with a head of a tensor: scores = A B^T (64x64 or, of 128 columns, 64x128, begun without what the
// registers held), then out += A B for `columns` columns, with A from registers. A: 64 rows, B: 128 rows of a head, 64
// and `columns` columns.
template <class S, int columns>
LAIM_KERNEL(128, 1)
heads_kernel(LAIM_ARGUMENT TensorMap map, int batch, int head, int row, float* scores_out, float* out) {
  constexpr int tall_bytes = 128 * 128;  // of a box of 128 rows
  uint8_t* const box = shared_memory();
  Mbarrier* const full = reinterpret_cast<Mbarrier*>(box + columns / 64 * tall_bytes);
  const int thread = thread_index();
  if (thread == 0) {
    mbarrier_init(full, 1);
    mbarrier_fence_init();
    mbarrier_arrive_expect(full, columns / 64 * tall_bytes);
    for (int i = 0; i < columns / 64; ++i) load_box(box + i * tall_bytes, map, batch, head, row, i * 64, full);
  }
  block_barrier();
  mbarrier_wait(full, 0);
  uint32_t a[4][4];
  for (int step = 0; step < 4; ++step)
    for (int i = 0; i < 4; ++i) {
      const int at = warp_index() * 16 + lane_index() / 4 + i % 2 * 8, chunk = step * 2 + i / 2;
      a[step][i] = load_shared(reinterpret_cast<const uint32_t*>(box + at * 128 + (chunk ^ at % 8) * 16) + thread % 4);
    }
  float scores[columns / 2], sum[columns / 2];
  LAIM_UNROLL
  for (float& each : scores) each = 7;  // must not count
  LAIM_UNROLL
  for (float& each : sum) each = 3;
  const uint64_t rows = operand_descriptor(box, 0), down = operand_descriptor(box, tall_bytes);
  wgmma_fence(scores);
  LAIM_UNROLL
  for (int step = 0; step < 4; ++step)
    wgmma<S, false, false>(scores, next_step<false>(rows, step), next_step<false>(rows, step), step > 0);
  wgmma_commit();
  wgmma_fence(sum, a);
  LAIM_UNROLL
  for (int step = 0; step < 4; ++step) wgmma<S, true>(sum, a[step], next_step<true>(down, step));
  wgmma_commit();
  wgmma_wait<1>(scores);
  wgmma_wait<0>(sum);
  LAIM_UNROLL
  for (int i = 0; i < columns / 2; ++i) {
    store_global(scores_out + thread * (columns / 2) + i, scores[i]);
    store_global(out + thread * (columns / 2) + i, sum[i]);
  }
}

template <class S, int columns>
void test_heads(std::FILE* file) {
  constexpr int64_t batches = 2, heads = 3, rows = 150, row0 = 40, batch = 1, head = 2;  // the last rows are outside
  std::vector<S> values(batches * rows * heads * columns);
  for (int i = 0; i < int(values.size()); ++i) values[i] = stored<S>(i * 37 % 13 - 6 + i / 977 % 3);
  Device<S> in("in", values);
  Device<float> scores("scores", 128 * columns / 2), out("out", 128 * columns / 2);
  TensorMap map;
  const View4<const S> view = {in.data(), rows * heads * columns, columns, heads * columns, 1};
  const std::string what = std::string(name_of<S>) + " heads of " + std::to_string(columns) + " columns";
  const char* error = make_tensor_map(&map, view, batches, heads, rows, columns, 128);
  check(error == nullptr, what + ": " + (error ? error : ""));
  if (!run({1, 1, 1, 128, columns / 64 * 128 * 128 + 8}, what, heads_kernel<S, columns>, map, int(batch), int(head),
           int(row0), scores.data(), out.data()))
    return;
  const auto found_scores = scores.values(), found_out = out.values();
  if (file) std::fwrite(found_scores.data(), 4, found_scores.size(), file);
  if (file) std::fwrite(found_out.data(), 4, found_out.size(), file);
  const auto at = [&](int64_t row, int64_t column) {
    const int64_t i = row0 + row;
    return i < rows ? value(values[((batch * rows + i) * heads + head) * columns + column]) : 0.0;
  };
  const auto compare = [&](const std::vector<float>& found, int count, auto expected) {
    for (int thread = 0; thread < 128; ++thread)
      for (int i = 0; i < count; ++i) {
        const int row = thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + thread % 4 * 2 + i % 2;
        const double off = found[thread * count + i] - expected(row, column);
        check(off == 0, what + ": off by " + std::to_string(off) + " at element " + std::to_string(i) + " of thread " +
                            std::to_string(thread));
      }
  };
  compare(found_scores, columns / 2, [&](int row, int column) {
    double sum = 0;
    for (int k = 0; k < 64; ++k) sum += at(row, k) * at(column, k);
    return sum;
  });
  compare(found_out, columns / 2, [&](int row, int column) {
    double sum = 3;
    for (int k = 0; k < 64; ++k) sum += at(row, k) * at(k, column);
    return sum;
  });
}

template <class S>
void test_type(std::FILE* file) {
  test_products<S, false, false>(file, {0, 0}, {0, 0});
  test_products<S, false, false>(file, {209, 232}, {-3, 240});  // past the last row and column, before the first
  test_products<S, false, true>(file, {209, 232}, {2, 40});
  test_products<S, true, false>(file, {-5, -8}, {0, 8});
  test_products<S, true, true>(file, {1, 3}, {0, 0});
  test_heads<S, 64>(file);
  test_heads<S, 128>(file);
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
