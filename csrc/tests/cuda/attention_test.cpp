// Attention under the shim, forward and backward, against plain loops in double.
#include "cuda/sm80/attention.cuh"

#include "cuda/sm80/attention_backward.cuh"
#include "cuda/sm80/float_attention.cuh"
#include "cuda/sm80/float_attention_backward.cuh"
#include "tests/cuda/attention_cases.h"

namespace laim::test {
namespace {

using Case = AttentionShape;

template <class S, int channels>
bool run_attention(const AttentionBackwardArgs<S>& args, const std::string& what, float* delta) {
  using namespace laim::cuda;
  const AttentionArgs<S>& forward = args.forward;
  const auto run_delta = [&] { return run(delta_launch(forward), what + "delta", delta_kernel<S>, args, delta); };
  if constexpr (is_same<S, float>) {
    using Forward = FloatAttentionShape<channels>;
    using Queries = FloatBackwardShape<Side::queries, channels>;
    using Keys = FloatBackwardShape<Side::keys, channels>;
    return run(attention_launch<Forward>(forward), what + "forward", float_attention_kernel<Forward>, forward) &&
           run_delta() &&
           run(attention_backward_launch<Queries>(forward), what + "dq", float_attention_backward_kernel<Queries>, args,
               delta) &&
           run(attention_backward_launch<Keys>(forward), what + "dk, dv", float_attention_backward_kernel<Keys>, args,
               delta);
  } else {
    const bool by_chunks = forward.channels % chunk_elements == 0;
    using Forward = cuda::AttentionShape<channels>;
    using Queries = BackwardShape<Side::queries, channels>;
    using Keys = BackwardShape<Side::keys, channels>;
    return run(attention_launch<Forward>(forward), what + "forward", attention_kernel<Forward, S>, forward,
               by_chunks) &&
           run_delta() &&
           run(attention_backward_launch<Queries>(forward), what + "dq", attention_backward_kernel<Queries, S>, args,
               delta, by_chunks) &&
           run(attention_backward_launch<Keys>(forward), what + "dk, dv", attention_backward_kernel<Keys, S>, args,
               delta, by_chunks);
  }
}

template <class S, int channels>
void test_case(const Case& s) {
  test_attention_with<S>(run_attention<S, channels>, s, true);
}

}  // namespace
}  // namespace laim::test

int main() {
  using namespace laim;
  using namespace laim::test;
  // batch, query heads, key heads, queries, keys, channels, window, causal, lengths
  test_case<bf16, 64>({1, 1, 1, 96, 192, 64, -1, false, false});
  test_case<bf16, 64>({1, 2, 1, 130, 130, 64, -1, true, false});
  test_case<bf16, 64>({2, 2, 1, 70, 100, 40, 33, true, true});
  test_case<bf16, 64>({1, 1, 1, 200, 40, 64, -1, true, false});  // queries that see no key
  test_case<bf16, 32>({2, 3, 1, 33, 150, 20, 50, false, true});  // rows that are not aligned
  test_case<bf16, 32>({1, 4, 2, 20, 40, 16, -1, true, false});
  test_case<bf16, 32>({1, 1, 1, 1, 1, 1, -1, false, false});
  test_case<bf16, 32>({1, 1, 1, 3, 0, 8, -1, false, false});
  test_case<bf16, 128>({1, 2, 1, 65, 97, 128, -1, true, false});
  test_case<bf16, 128>({1, 1, 1, 20, 70, 96, -1, false, false});
  test_case<bf16, 256>({1, 1, 1, 40, 72, 256, -1, true, false});
  test_case<fp16, 64>({1, 1, 1, 64, 64, 64, -1, true, false});
  test_case<float, 64>({1, 2, 1, 130, 130, 64, -1, true, false});
  test_case<float, 64>({2, 2, 1, 70, 100, 39, 33, true, true});
  test_case<float, 64>({2, 3, 1, 33, 150, 20, 50, false, true});
  test_case<float, 64>({1, 1, 1, 200, 40, 8, -1, true, false});  // queries that see no key
  test_case<float, 64>({1, 1, 1, 1, 1, 1, -1, false, false});
  test_case<float, 64>({1, 1, 1, 3, 0, 8, -1, false, false});
  test_case<float, 128>({1, 2, 1, 65, 70, 101, -1, true, false});
  test_case<float, 256>({1, 1, 1, 34, 40, 256, -1, true, false});
  return summary();
}
