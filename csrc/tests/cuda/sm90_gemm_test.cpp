// The sm_90a product with its epilogues under the shim, against plain loops in double.
#include "cuda/sm90/gemm.cuh"

#include <array>

#include "tests/cuda/product_cases.h"

namespace laim::test {
namespace {

template <class S>
bool run_product(const ProductCase& c, const cuda::Launch& launch, const std::string& what, const GemmArgs<S>& args,
                 const Matrix<float>& total) {
  using namespace laim::cuda;
  TensorMap left, right;
  const char* error = operand_maps(args, &left, &right);
  check(error == nullptr, what + ": " + (error ? error : ""));
  const auto kernel = !c.left_by_rows   ? wgmma_gemm_kernel<S, false, true>
                      : c.right_by_rows ? wgmma_gemm_kernel<S, true, true>
                                        : wgmma_gemm_kernel<S, true, false>;
  return error == nullptr && run(launch, "wgmma " + what + " by " + std::to_string(launch.x) + " blocks", kernel, args,
                                 total, left, right, int(launch.x), args.out.row_stride % 2 == 0);
}

// On a device of so many multiprocessors.
template <class S>
void test_product(const ProductCase& c, int multiprocessors = 2) {
  test_product_with<S>(
      [&](const ProductCase& of, const std::string& what, const GemmArgs<S>& args, const Matrix<float>& total) {
        return run_product(of, cuda::wgmma_gemm_launch(args, multiprocessors), what, args, total);
      },
      c);
}

// What TMA takes: padded, the rows of A and B in memory are multiples of 8 numbers.
void test_products() {
  const bool layouts[][2] = {{true, false}, {true, true}, {false, true}};
  for (const auto& layout : layouts) {
    // one block whose ring goes round twice and ends in a ragged slice, four blocks with ragged rows, columns and
    // slices
    for (const auto& s : {std::array<int64_t, 3>{128, 256, 584}, {136, 264, 72}, {8, 16, 8}})
      test_product<bf16>({s[0], s[1], s[2], layout[0], layout[1], Epilogue::store});
    test_product<bf16>({1, 1, 1, layout[0], layout[1], Epilogue::store, Activation::relu, false, 7});
    test_product<bf16>({125, 141, 77, layout[0], layout[1], Epilogue::accumulate, Activation::relu, false, 3});
    test_product<fp16>({40, 24, 72, layout[0], layout[1], Epilogue::store});
  }
  for (int kind = 0; kind < 4; ++kind)
    for (Epilogue epilogue : {Epilogue::bias, Epilogue::bias_activation, Epilogue::gradient})
      for (bool gated : {false, true}) {
        if (epilogue == Epilogue::bias && (gated || kind > 0)) continue;
        test_product<bf16>({29, 45, 37, true, epilogue == Epilogue::gradient, epilogue, Activation(kind), gated, 3});
        if (kind == 1) test_product<fp16>({29, 48, 40, true, false, epilogue, Activation(kind), gated});
      }
}

// Blocks that take one tile after the other.
void test_tiles() {
  const bool layouts[][2] = {{true, false}, {true, true}, {false, true}};
  for (const auto& layout :
       layouts)  // six tiles of three slices, with ragged ends: by one block, by some of more tiles
    for (int multiprocessors : {1, 4})
      test_product<bf16>({136, 520, 136, layout[0], layout[1], Epilogue::store}, multiprocessors);
  test_product<bf16>({136, 520, 8, true, false, Epilogue::store}, 20);   // more multiprocessors than tiles
  test_product<bf16>({136, 264, 256, true, false, Epilogue::store}, 1);  // each tile goes once round the ring
  test_product<bf16>({1032, 264, 8, true, false, Epilogue::store}, 5);   // more rows of tiles than a group has
  for (int multiprocessors : {1, 3}) {
    test_product<bf16>({141, 268, 77, true, false, Epilogue::bias, Activation::relu, false, 3}, multiprocessors);
    test_product<fp16>({136, 264, 72, true, false, Epilogue::bias_activation, Activation::silu, true}, multiprocessors);
    test_product<bf16>({141, 269, 77, true, true, Epilogue::gradient, Activation::gelu, true, 3}, multiprocessors);
    test_product<bf16>({141, 269, 77, false, true, Epilogue::accumulate, Activation::relu, false, 3}, multiprocessors);
  }
}

// However many blocks there are, with one that finds no tile too.
void test_bits() {
  constexpr int64_t m = 136, n = 520, k = 200;
  Device<bf16> a("a", random_values<bf16>(m * k, 1)), b("b", random_values<bf16>(n * k, 2));
  GemmArgs<bf16> args = {m, n, k, {a.data(), k, 1}, {b.data(), 1, k}, {}};
  const auto by = [&](uint32_t blocks) {
    Device<bf16> out("out", m * n);
    args.out = {out.data(), n, 1};
    cuda::Launch launch = cuda::wgmma_gemm_launch(args, 1);
    launch.x = blocks;
    run_product({m, n, k, true, false, Epilogue::store}, launch, "bits", args, Matrix<float>{});
    std::vector<uint16_t> bits;
    for (bf16 each : out.values()) bits.push_back(each.bits);
    return bits;
  };
  const auto expected = by(6);
  for (uint32_t blocks : {1, 2, 4, 7})
    check(by(blocks) == expected, "other bits by " + std::to_string(blocks) + " blocks");
}

}  // namespace
}  // namespace laim::test

int main() {
  laim::test::test_products();
  laim::test::test_tiles();
  laim::test::test_bits();
  return laim::test::summary();
}
