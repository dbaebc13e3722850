// Products with their epilogues under the shim, against plain loops in double.
#include "cuda/sm80/gemm.cuh"

#include <array>

#include "cuda/sm80/float_gemm.cuh"
#include "tests/cuda/product_cases.h"

namespace laim::test {
namespace {

template <class S>
bool run_product(const ProductCase& c, const std::string& what, const GemmArgs<S>& args, const Matrix<float>& total) {
  using namespace laim::cuda;
  const bool pairs = args.out.row_stride % 2 == 0;
  if constexpr (is_same<S, float>) {
    return run(gemm_launch<FloatGemmShape>(args), what, float_gemm_kernel<FloatGemmShape>, args, total, pairs);
  } else {
    const bool left_chunks = by_chunks(args.a.data, c.left_by_rows ? args.a.row_stride : args.a.column_stride);
    const bool right_chunks = by_chunks(args.b.data, c.right_by_rows ? args.b.row_stride : args.b.column_stride);
    const auto kernel = !c.left_by_rows   ? gemm_kernel<S, false, true>
                        : c.right_by_rows ? gemm_kernel<S, true, true>
                                          : gemm_kernel<S, true, false>;
    return run(gemm_launch<GemmShape>(args), what, kernel, args, total, left_chunks, right_chunks, pairs);
  }
}

template <class S>
void test_product(const ProductCase& c) {
  test_product_with<S>(run_product<S>, c);
}

void test_products() {
  const bool layouts[][2] = {{true, false}, {true, true}, {false, true}};
  for (const auto& layout : layouts) {
    // one block with a ragged slice, four blocks with ragged rows, columns and slices, no depth at all, one element
    for (const auto& s : {std::array<int64_t, 3>{128, 128, 168}, {136, 152, 72}, {8, 16, 0}, {1, 1, 1}, {24, 8, 264}}) {
      test_product<bf16>({s[0], s[1], s[2], layout[0], layout[1], Epilogue::store});
      test_product<bf16>({s[0], s[1], s[2], layout[0], layout[1], Epilogue::accumulate});
    }
    test_product<bf16>({33, 20, 45, layout[0], layout[1], Epilogue::store, Activation::relu, false, 1});
    test_product<fp16>({40, 24, 72, layout[0], layout[1], Epilogue::store});
    // a ragged slice after the ring has gone round, no depth at all, one element
    for (const auto& s : {std::array<int64_t, 3>{136, 152, 53}, {8, 16, 0}, {1, 1, 1}})
      test_product<float>({s[0], s[1], s[2], layout[0], layout[1], Epilogue::store});
    test_product<float>({33, 20, 45, layout[0], layout[1], Epilogue::accumulate, Activation::relu, false, 1});
  }
  for (int kind = 0; kind < 4; ++kind)
    for (Epilogue epilogue : {Epilogue::bias, Epilogue::bias_activation, Epilogue::gradient})
      for (bool gated : {false, true}) {
        if (epilogue == Epilogue::bias && (gated || kind > 0)) continue;
        test_product<bf16>({29, 45, 40, true, epilogue == Epilogue::gradient, epilogue, Activation(kind), gated, 2});
        if (kind == 1) test_product<fp16>({29, 48, 40, true, false, epilogue, Activation(kind), gated});
        test_product<float>(
            {29, 45, 12, true, epilogue == Epilogue::gradient, epilogue, Activation(kind), gated, kind});
      }
  test_product<bf16>({1030, 136, 8, true, false, Epilogue::store});  // more block rows than a group has
  test_product<float>({1030, 136, 1, true, false, Epilogue::store});
}

}  // namespace
}  // namespace laim::test

int main() {
  laim::test::test_products();
  return laim::test::summary();
}
