#include "cuda/sm80/attention_backward.cuh"

#include "cuda/launch.cuh"
#include "cuda/sm80/channels.h"

namespace laim::cuda {

template <class S>
const char* attention_backward(const AttentionBackwardArgs<S>& args, float* delta, Stream stream) {
  const AttentionArgs<S>& forward = args.forward;
  const char* error = start(delta_launch(forward), stream, delta_kernel<S>, args, delta);
  if (error) return error;
  const bool by_chunks = rows_by_chunks(forward.channels, forward.q, forward.k, forward.v, args.gradient,
                                        args.gradient_q, args.gradient_k, args.gradient_v);
  return with_channels(forward.channels, [&](auto channels) {
    using Queries = BackwardShape<Side::queries, decltype(channels)::value>;
    using Keys = BackwardShape<Side::keys, decltype(channels)::value>;
    const char* failed = start(attention_backward_launch<Queries>(forward), stream,
                               attention_backward_kernel<Queries, S>, args, delta, by_chunks);
    if (failed) return failed;
    return start(attention_backward_launch<Keys>(forward), stream, attention_backward_kernel<Keys, S>, args, delta,
                 by_chunks);
  });
}

template const char* attention_backward(const AttentionBackwardArgs<bf16>&, float*, Stream);
template const char* attention_backward(const AttentionBackwardArgs<fp16>&, float*, Stream);

}  // namespace laim::cuda
