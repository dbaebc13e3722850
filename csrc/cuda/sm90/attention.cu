#include "cuda/sm90/attention.cuh"

#include "cuda/launch.cuh"
#include "cuda/sm80/channels.h"
#include "cuda/sm90/attention.h"
#include "cuda/sm90/device.h"

namespace laim::cuda {

template <class S>
bool wgmma_takes(const AttentionArgs<S>& args) {
  const auto fits = [&](const View4<const S>& view, int64_t heads, int64_t rows) {
    return fits_tensor_map(view, args.batch, heads, rows, args.channels);
  };
  return (args.channels == 64 || args.channels == 128) && fits(args.q, args.query_heads, args.queries) &&
         fits(args.k, args.key_heads, args.keys) && fits(args.v, args.key_heads, args.keys) && device_is_sm90();
}

template <class S>
const char* wgmma_attention(const AttentionArgs<S>& args, Stream stream) {
  const auto with = [&](auto shape) -> const char* {
    using Shape = decltype(shape);
    TensorMap q, k, v;
    if (const char* error = attention_maps(args, Shape::tile_rows, &q, &k, &v)) return error;
    return start(attention_launch<Shape>(args), stream, wgmma_attention_kernel<Shape, S>, args, q, k, v,
                 rows_by_chunks(args.channels, args.out));
  };
  return args.channels == 64 ? with(WgmmaAttentionShape<64>()) : with(WgmmaAttentionShape<128>());
}

template bool wgmma_takes(const AttentionArgs<bf16>&);
template bool wgmma_takes(const AttentionArgs<fp16>&);
template const char* wgmma_attention(const AttentionArgs<bf16>&, Stream);
template const char* wgmma_attention(const AttentionArgs<fp16>&, Stream);

}  // namespace laim::cuda
