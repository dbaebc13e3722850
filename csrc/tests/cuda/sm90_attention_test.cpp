// The sm_90a attention under the shim, against plain loops in double.
#include "cuda/sm90/attention.cuh"

#include "tests/cuda/attention_cases.h"

namespace laim::test {
namespace {

template <class S, int channels>
bool run_forward(const AttentionBackwardArgs<S>& args, const std::string& what, float*) {
  using namespace laim::cuda;
  using Shape = WgmmaAttentionShape<channels>;
  const AttentionArgs<S>& forward = args.forward;
  TensorMap q, k, v;
  const char* error = attention_maps(forward, Shape::tile_rows, &q, &k, &v);
  check(error == nullptr, what + ": " + (error ? error : ""));
  return error == nullptr && run(attention_launch<Shape>(forward), what + "wgmma forward",
                                 wgmma_attention_kernel<Shape, S>, forward, q, k, v, true);
}

template <class S, int channels>
void test_case(AttentionShape s) {
  s.channels = channels;
  test_attention_with<S>(run_forward<S, channels>, s, false);
}

template <class S, int channels>
void test_channels() {
  // batch, query heads, key heads, queries, keys, channels, window, causal, lengths
  test_case<S, channels>({1, 1, 1, 96, 192, 0, -1, false, false});
  test_case<S, channels>({1, 2, 1, 130, 130, 0, -1, true, false});
  test_case<S, channels>({1, 1, 1, 64, 700, 0, -1, false, false});  // the rings go round thrice
  test_case<S, channels>({3, 2, 1, 140, 300, 0, -1, false, true});  // lengths that end within a tile
  test_case<S, channels>({2, 2, 2, 200, 333, 0, 50, true, true});
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
  test_case<bf16, 64>({1, 1, 1, 300, 40, 0, -1, true, false});  // queries, and whole blocks, that see no key
  test_case<bf16, 64>({1, 1, 1, 260, 260, 0, 33, false, false});
  test_case<bf16, 64>({1, 1, 1, 20, 255, 0, -1, false, false});   // of a tile one key is not seen: its last, by anyone
  test_case<bf16, 64>({1, 1, 1, 160, 160, 0, 159, true, false});  // ... its first, by one query
  test_case<bf16, 64>({2, 6, 2, 1, 257, 0, -1, true, true});
  test_case<bf16, 64>({1, 1, 1, 128, 512, 0, -1, true, false});
  test_case<bf16, 128>({1, 1, 1, 1, 1, 0, -1, false, false});
  return summary();
}
