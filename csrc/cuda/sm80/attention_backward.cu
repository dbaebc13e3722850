#include "cuda/sm80/attention_backward.cuh"

#include "cuda/launch.cuh"
#include "cuda/sm80/channels.h"
#include "cuda/sm80/float_attention_backward.cuh"
#ifdef LAIM_SM90
#include "cuda/sm90/attention_backward.h"
#endif

namespace laim::cuda {
namespace {

template <Side side, int channels, class S>
const char* start_side(const AttentionBackwardArgs<S>& args, const float* delta, Stream stream) {
  const AttentionArgs<S>& forward = args.forward;
  if constexpr (is_same<S, float>) {
    using Shape = FloatBackwardShape<side, float_channels<channels>>;
    return start(attention_backward_launch<Shape>(forward), stream, float_attention_backward_kernel<Shape>, args,
                 delta);
  } else {
    using Shape = BackwardShape<side, channels>;
    return start(attention_backward_launch<Shape>(forward), stream, attention_backward_kernel<Shape, S>, args, delta,
                 rows_by_chunks(forward.channels, forward.q, forward.k, forward.v, args.gradient, args.gradient_q,
                                args.gradient_k, args.gradient_v));
  }
}

}  // namespace

template <class S>
const char* attention_backward(const AttentionBackwardArgs<S>& args, float* delta, Stream stream) {
  const char* error = start(delta_launch(args.forward), stream, delta_kernel<S>, args, delta);
  if (error) return error;
#ifdef LAIM_SM90  // built for sm_90a too
  if constexpr (!is_same<S, float>)
    if (wgmma_takes(args)) return wgmma_attention_backward(args, delta, stream);
#endif
  return with_channels(args.forward.channels, [&](auto channels) {
    constexpr int rounded = decltype(channels)::value;
    const char* failed = start_side<Side::queries, rounded>(args, delta, stream);
    return failed ? failed : start_side<Side::keys, rounded>(args, delta, stream);
  });
}

template const char* attention_backward(const AttentionBackwardArgs<float>&, float*, Stream);
template const char* attention_backward(const AttentionBackwardArgs<bf16>&, float*, Stream);
template const char* attention_backward(const AttentionBackwardArgs<fp16>&, float*, Stream);

}  // namespace laim::cuda
