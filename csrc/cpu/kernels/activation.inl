// The element-wise part of an MLP: the activation, times `up` where the MLP is gated. The same few lines end a product
// while its tile is in registers (gemm.inl) and stand as a kernel of their own.
#pragma once

namespace laim::LAIM_ISA {

// out = act(pre), times up
template <Activation kind, class S, class V>
LAIM_INLINE void store_activated(V pre, const S* up, S* out, int64_t n) {
  V value = activate<kind, Compute<S>>(pre).value;
  if (up) value = value * load<V>(up, n);
  store(value, out, n);
}

// For the gradient of act(pre) times up: the gradients of pre and up, and the value again, which the next product
// needs.
template <Activation kind, class S, class V>
LAIM_INLINE void store_activation_gradient(V gradient, const S* pre, const S* up, S* out, S* activated, S* gradient_up,
                                           int64_t n) {
  const auto f = activate<kind, Compute<S>>(load<V>(pre, n));
  if (up) {
    const V factor = load<V>(up, n);
    store(gradient * f.value, gradient_up, n);
    store(gradient * factor * f.slope, out, n);
    store(f.value * factor, activated, n);
  } else {
    store(gradient * f.slope, out, n);
    store(f.value, activated, n);
  }
}

template <class S>
void activation(const ActivationArgs<S>& args, const Parallel& parallel) {
  using V = Vec<Compute<S>>;
  constexpr int64_t chunk = 16384;
  parallel.for_each(ceil_div(args.count, chunk), [&](int64_t task) {
    const int64_t start = task * chunk, count = min(chunk, args.count - start);
    const auto from = [start](auto* p) { return p ? p + start : p; };
    const S *pre = from(args.pre), *up = from(args.up), *gradient = from(args.gradient);
    S *activated = from(args.activated), *out = from(args.out), *gradient_up = from(args.gradient_up);
    const auto at = [](auto* p, int64_t j) { return p ? p + j : p; };
    with_activation(args.activation, [&](auto kind) {
      constexpr Activation act = decltype(kind)::value;
      each_vector<V>(count, [&](int64_t j, int64_t n) {
        if (gradient)
          store_activation_gradient<act, S>(load<V>(gradient + j, n), pre + j, at(up, j), out + j, activated + j,
                                            at(gradient_up, j), n);
        else
          store_activated<act, S>(load<V>(pre + j, n), at(up, j), activated + j, n);
      });
    });
  });
}

}  // namespace laim::LAIM_ISA
