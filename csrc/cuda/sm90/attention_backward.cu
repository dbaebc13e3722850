#include "cuda/sm90/attention_backward.cuh"

#include "cuda/launch.cuh"
#include "cuda/sm80/channels.h"
#include "cuda/sm90/attention.h"
#include "cuda/sm90/attention_backward.h"

namespace laim::cuda {
namespace {

template <int channels, class S>
const char* start_sides(const AttentionBackwardArgs<S>& args, const float* delta, Stream stream) {
  using Queries = WgmmaBackwardShape<Side::queries, channels>;
  using Keys = WgmmaBackwardShape<Side::keys, channels>;
  const AttentionArgs<S>& forward = args.forward;
  TensorMap q, k, v, g;
  const char* error = backward_maps(args, Queries::tile_rows, &q, &k, &v, &g);
  const bool pairs = rows_by_chunks(channels, args.gradient_q, args.gradient_k, args.gradient_v);
  if (!error)
    error = start(attention_backward_launch<Queries>(forward), stream, wgmma_attention_backward_kernel<Queries, S>,
                  args, delta, q, g, k, v, pairs);
  return error ? error
               : start(attention_backward_launch<Keys>(forward), stream, wgmma_attention_backward_kernel<Keys, S>, args,
                       delta, k, v, q, g, pairs);
}

}  // namespace

template <class S>
bool wgmma_takes(const AttentionBackwardArgs<S>& args) {
  const AttentionArgs<S>& forward = args.forward;
  return wgmma_takes(forward) &&
         fits_tensor_map(args.gradient, forward.batch, forward.query_heads, forward.queries, forward.channels);
}

template <class S>
const char* wgmma_attention_backward(const AttentionBackwardArgs<S>& args, const float* delta, Stream stream) {
  return args.forward.channels == 64 ? start_sides<64>(args, delta, stream) : start_sides<128>(args, delta, stream);
}

template bool wgmma_takes(const AttentionBackwardArgs<bf16>&);
template bool wgmma_takes(const AttentionBackwardArgs<fp16>&);
template const char* wgmma_attention_backward(const AttentionBackwardArgs<bf16>&, const float*, Stream);
template const char* wgmma_attention_backward(const AttentionBackwardArgs<fp16>&, const float*, Stream);

}  // namespace laim::cuda
