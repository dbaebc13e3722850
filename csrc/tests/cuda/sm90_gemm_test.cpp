// The sm_90a product with its epilogues under the shim, against plain loops in double.
#include "cuda/sm90/gemm.cuh"

#include <array>

#include "tests/cuda/product_cases.h"

namespace laim::test {
namespace {

template <class S>
bool run_product(const ProductCase& c, const std::string& what, const GemmArgs<S>& args, const Matrix<float>& total) {
  using namespace laim::cuda;
  TensorMap left, right;
  const char* error = operand_maps(args, &left, &right);
  check(error == nullptr, what + ": " + (error ? error : ""));
  const auto kernel = !c.left_by_rows   ? wgmma_gemm_kernel<S, false, true>
                      : c.right_by_rows ? wgmma_gemm_kernel<S, true, true>
                                        : wgmma_gemm_kernel<S, true, false>;
  return error == nullptr && run(gemm_launch<WgmmaGemmShape>(args), "wgmma " + what, kernel, args, total, left, right,
                                 args.out.row_stride % 2 == 0);
}

template <class S>
void test_product(const ProductCase& c) {
  test_product_with<S>(run_product<S>, c);
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
  test_product<bf16>({1032, 264, 8, true, false, Epilogue::store});  // more block rows than a group has
}

}  // namespace
}  // namespace laim::test

int main() {
  laim::test::test_products();
  return laim::test::summary();
}
