// The element-wise part of an MLP on its own, where its products are not this library's: act(pre), times `up` where the
// MLP is gated, and in the backward both gradients and the value again.
#pragma once
#include "core/kernels.h"
#include "cuda/activation.cuh"
#include "cuda/launch.h"
#include "cuda/sm80/row.cuh"

namespace laim::cuda {

struct ActivationShape {
  static constexpr int threads = 256;
};

template <class S>
Launch activation_launch(const ActivationArgs<S>& args) {
  return {uint32_t(ceil_div(args.count, ActivationShape::threads * row_step<S>)), 1, 1, ActivationShape::threads, 0};
}

// A thread takes one piece. `aligned`: all tensors begin at multiples of 16 bytes.
template <class S>
LAIM_KERNEL(ActivationShape::threads, 4)
activation_kernel(LAIM_ARGUMENT ActivationArgs<S> args, LAIM_ARGUMENT bool aligned) {
  const int64_t at = (block_x() * ActivationShape::threads + thread_index()) * row_step<S>;
  if (at >= args.count) return;
  const int count = int(min<int64_t>(row_step<S>, args.count - at));
  const bool by_chunks = aligned && count == row_step<S>;

  const Piece<S> pre = load_piece(args.pre + at, count, by_chunks);
  Piece<S> up, activated;
  LAIM_UNROLL
  for (float& factor : up.value) factor = 1;
  if (args.up) up = load_piece(args.up + at, count, by_chunks);
  if (args.gradient == nullptr) {
    LAIM_UNROLL
    for (int i = 0; i < row_step<S>; ++i)
      activated.value[i] = activate(args.activation, pre.value[i]).value * up.value[i];
    return store_piece(args.activated + at, activated, count, by_chunks);
  }
  const Piece<S> gradient = load_piece(args.gradient + at, count, by_chunks);
  Piece<S> out, gradient_up;
  LAIM_UNROLL
  for (int i = 0; i < row_step<S>; ++i) {
    const ActivationGradient g = activation_gradient(args.activation, gradient.value[i], pre.value[i], up.value[i]);
    out.value[i] = g.pre;
    gradient_up.value[i] = g.up;
    activated.value[i] = g.activated;
  }
  store_piece(args.out + at, out, count, by_chunks);
  store_piece(args.activated + at, activated, count, by_chunks);
  if (args.up) store_piece(args.gradient_up + at, gradient_up, count, by_chunks);
}

}  // namespace laim::cuda
