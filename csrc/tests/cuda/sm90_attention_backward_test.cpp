// The sm_90a attention backward under the shim, against plain loops in double.
#include "cuda/sm90/attention_backward.cuh"

#include "cuda/sm80/attention.cuh"
#include "tests/cuda/attention_cases.h"

namespace laim::test {
namespace {

template <class S, int channels>
bool run_attention(const AttentionBackwardArgs<S>& args, const std::string& what, float* delta) {
  using namespace laim::cuda;
  using Forward = cuda::AttentionShape<channels>;
  using Queries = WgmmaBackwardShape<Side::queries, channels>;
  using Keys = WgmmaBackwardShape<Side::keys, channels>;
  const AttentionArgs<S>& forward = args.forward;
  TensorMap q, k, v, g;
  const char* error = backward_maps(args, Queries::tile_rows, &q, &k, &v, &g);
  check(error == nullptr, what + ": " + (error ? error : ""));
  return error == nullptr &&
         run(attention_launch<Forward>(forward), what + "forward", attention_kernel<Forward, S>, forward, true) &&
         run(delta_launch(forward), what + "delta", delta_kernel<S>, args, delta) &&
         run(attention_backward_launch<Queries>(forward), what + "wgmma dq",
             wgmma_attention_backward_kernel<Queries, S>, args, delta, q, g, k, v, true) &&
         run(attention_backward_launch<Keys>(forward), what + "wgmma dk, dv", wgmma_attention_backward_kernel<Keys, S>,
             args, delta, k, v, q, g, true);
}

template <class S, int channels>
void test_case(AttentionShape s, bool again = false) {
  s.channels = channels;
  test_attention_with<S>(run_attention<S, channels>, s, true, again);
}

template <class S, int channels>
void test_channels() {
  // batch, query heads, key heads, queries, keys, channels, window, causal, lengths
  test_case<S, channels>({1, 1, 1, 96, 192, 0, -1, false, false});
  test_case<S, channels>({1, 2, 1, 130, 130, 0, -1, true, false}, true);
  test_case<S, channels>({3, 2, 1, 70, 300, 0, -1, false, true});  // lengths that end within a tile
  test_case<S, channels>({2, 2, 2, 140, 200, 0, 50, true, true});
}

}  // namespace
}  // namespace laim::test

int main() {
  using namespace laim;
  using namespace laim::test;
  test_channels<bf16, 64>();
  test_channels<bf16, 128>();
  test_channels<fp16, 64>();
  test_case<fp16, 128>({1, 4, 2, 65, 97, 0, -1, true, false});
  test_case<bf16, 64>({1, 4, 1, 140, 70, 0, -1, false, false});  // queries, of four heads, go round the ring four times
  test_case<bf16, 64>({1, 1, 1, 70, 460, 0, -1, false, false});  // keys twice
  test_case<bf16, 64>({1, 1, 1, 300, 40, 0, -1, true, false});   // queries, and whole blocks, that see no key
  test_case<bf16, 64>({3, 1, 1, 20, 400, 0, -1, false, true});   // blocks of keys that are all padding
  test_case<bf16, 64>({1, 1, 1, 260, 260, 0, 33, false, false});
  test_case<bf16, 64>({2, 6, 2, 1, 257, 0, -1, true, true});
  test_case<bf16, 128>({1, 1, 1, 1, 1, 0, -1, false, false});
  return summary();
}
