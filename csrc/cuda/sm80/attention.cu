#include "cuda/sm80/attention.cuh"

#include "cuda/launch.cuh"
#include "cuda/sm80/channels.h"
#include "cuda/sm80/float_attention.cuh"
#ifdef LAIM_SM90
#include "cuda/sm90/attention.h"
#endif

namespace laim::cuda {

template <class S>
const char* attention(const AttentionArgs<S>& args, Stream stream) {
#ifdef LAIM_SM90  // built for sm_90a too
  if constexpr (!is_same<S, float>)
    if (wgmma_takes(args)) return wgmma_attention(args, stream);
#endif
  return with_channels(args.channels, [&](auto channels) {
    constexpr int rounded = decltype(channels)::value;
    if constexpr (is_same<S, float>) {
      using Shape = FloatAttentionShape<float_channels<rounded>>;
      return start(attention_launch<Shape>(args), stream, float_attention_kernel<Shape>, args);
    } else {
      using Shape = AttentionShape<rounded>;
      return start(attention_launch<Shape>(args), stream, attention_kernel<Shape, S>, args,
                   rows_by_chunks(args.channels, args.q, args.k, args.v, args.out));
    }
  });
}

template const char* attention(const AttentionArgs<float>&, Stream);
template const char* attention(const AttentionArgs<bf16>&, Stream);
template const char* attention(const AttentionArgs<fp16>&, Stream);

}  // namespace laim::cuda
