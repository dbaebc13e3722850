#include "ops/device.h"
#include "ops/ops.h"

namespace laim::LAIM_ON {
namespace {

// (B, S, H, D) in memory, seen as (B, H, S, D): what a model reshapes to (B, S, H * D) without a copy.
template <class S>
Tensor empty_heads(const Device& on, int64_t batch, int64_t heads, int64_t rows, int64_t channels) {
  return torch::stable::transpose(empty_of<S>(on, {batch, rows, heads, channels}), 1, 2);
}

// With channels as the device's kernels can read them.
Tensor readable(const Tensor& tensor) {
  const bool as_it_is = Device::any_channel_stride || tensor.dim() != 4 || tensor.stride(3) == 1;
  return as_it_is ? tensor : packed(tensor);
}

template <class S>
View4<S> view4(const Tensor& tensor) {
  return {out_of<S>(tensor), tensor.stride(0), tensor.stride(1), tensor.stride(2), tensor.stride(3)};
}
template <class S>
View4<const S> read4(const Tensor& tensor) {
  return {data_of<S>(tensor), tensor.stride(0), tensor.stride(1), tensor.stride(2), tensor.stride(3)};
}

template <class S>
AttentionArgs<S> arguments(const Tensor& q, const Tensor& k, const Tensor& v, bool causal, double scale,
                           const OptionalTensor& key_lengths, int64_t window, const Tensor& out, const Tensor& lse) {
  require(q.dim() == 4 && k.dim() == 4 && v.dim() == 4, "laimbench::attention: q, k and v must have 4 dimensions");
  const int64_t batch = q.size(0), heads = q.size(1), channels = q.size(3);
  const int64_t key_heads = k.size(1), keys = k.size(2);
  require(k.size(0) == batch && v.size(0) == batch && v.size(1) == key_heads && v.size(2) == keys &&
              k.size(3) == channels && v.size(3) == channels && (key_heads > 0 ? heads % key_heads == 0 : heads == 0),
          "laimbench::attention: shapes of q, k and v do not fit");
  require(!key_lengths || (key_lengths->numel() == batch && key_lengths->scalar_type() == ScalarType::Long),
          "laimbench::attention: key_lengths must be (batch) int64");
  window = min(window, q.size(2) + keys);  // sees all; the sums of positions in a mask do not overflow
  return {batch,    heads,       key_heads,   q.size(2),     keys,
          channels, read4<S>(q), read4<S>(k), read4<S>(v),   data_of<int64_t>(key_lengths),
          window,   causal,      scale,       view4<S>(out), out_of<Compute<S>>(lse)};
}

}  // namespace

std::tuple<Tensor, Tensor> attention(Tensor q, Tensor k, Tensor v, bool causal, double scale,
                                     OptionalTensor key_lengths, int64_t window) {
  const Device on(q);
  return Device::with_storage_type(q, [&](auto storage) -> std::tuple<Tensor, Tensor> {
    using S = decltype(storage);
    key_lengths = packed(key_lengths), q = readable(q), k = readable(k), v = readable(v);
    const Tensor out = empty_heads<S>(on, q.size(0), q.size(1), q.size(2), q.size(3));
    const Tensor lse = empty_of<Compute<S>>(on, {q.size(0), q.size(1), q.size(2)});
    on.attention(arguments<S>(q, k, v, causal, scale, key_lengths, window, out, lse));
    return {out, lse};
  });
}

std::tuple<Tensor, Tensor, Tensor> attention_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor out,
                                                      Tensor lse, bool causal, double scale, OptionalTensor key_lengths,
                                                      int64_t window) {
  const Device on(q);
  return Device::with_storage_type(q, [&](auto storage) -> std::tuple<Tensor, Tensor, Tensor> {
    using S = decltype(storage);
    key_lengths = packed(key_lengths), q = readable(q), k = readable(k), v = readable(v);
    gradient = readable(gradient);
    if (out.stride(3) != 1) out = packed(out);
    const Tensor gradient_q = empty_heads<S>(on, q.size(0), q.size(1), q.size(2), q.size(3));
    const Tensor gradient_k = empty_heads<S>(on, k.size(0), k.size(1), k.size(2), k.size(3));
    const Tensor gradient_v = empty_heads<S>(on, v.size(0), v.size(1), v.size(2), v.size(3));
    const Tensor packed_lse = packed(lse);
    AttentionBackwardArgs<S> args = {arguments<S>(q, k, v, causal, scale, key_lengths, window, out, packed_lse),
                                     read4<S>(gradient), view4<S>(gradient_q), view4<S>(gradient_k),
                                     view4<S>(gradient_v)};
    on.attention_backward(args);
    return {gradient_q, gradient_k, gradient_v};
  });
}

}  // namespace laim::LAIM_ON
