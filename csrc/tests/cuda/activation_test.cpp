// Activations on their own under the shim, forward and backward, against plain loops in double.
#include "cuda/sm80/activation.cuh"

#include "tests/cuda/device.h"
#include "tests/plain_activation.h"

namespace laim::test {
namespace {

using namespace laim::cuda;

// `offset`: elements before the first of each tensor; with 1 nothing is aligned.
template <class S>
void test_activation(Activation kind, int64_t count, bool gated, int64_t offset) {
  const std::string what = std::string(name_of<S>) + " activation " + std::to_string(int(kind)) + " of " +
                           std::to_string(count) + (gated ? " gated" : "") + " from " + std::to_string(offset);
  const int64_t size = count + offset;
  const auto pres = random_values<S>(size, 31, 3.0), gradients = random_values<S>(size, 32),
             ups = random_values<S>(size, 33);
  Device<S> pre("pre", pres), gradient("gradient", gradients), up("up", ups), forward("activated", size),
      activated("activated", size), out("out", size), gradient_up("gradient_up", size);
  const auto from = [&](Device<S>& tensor) { return tensor.data() + offset; };
  ActivationArgs<S> args = {count, kind, from(pre), nullptr, from(forward), nullptr};
  if (gated) args.up = from(up);
  if (!run(activation_launch(args), what, activation_kernel<S>, args, offset == 0)) return;
  args.gradient = from(gradient), args.activated = from(activated), args.out = from(out);
  if (gated) args.gradient_up = from(gradient_up);
  if (!run(activation_launch(args), what + " backward", activation_kernel<S>, args, offset == 0)) return;

  std::vector<double> e_activated, e_out, e_up;
  for (int64_t i = offset; i < size; ++i) {
    const double x = value(pres[i]), g = value(gradients[i]), factor = gated ? value(ups[i]) : 1;
    e_activated.push_back(activation_value(kind, x) * factor);
    e_out.push_back(g * activation_slope(kind, x) * factor);
    e_up.push_back(g * activation_value(kind, x));
  }
  const auto found = [&](Device<S>& tensor) {
    const auto all = tensor.values();
    return std::vector<S>(all.begin() + offset, all.end());
  };
  check_close(found(forward), e_activated, tolerance<S>(), what);
  check_close(found(activated), e_activated, tolerance<S>(), what + " backward, activated");
  check_close(found(out), e_out, tolerance<S>(), what + " backward");
  if (gated) check_close(found(gradient_up), e_up, tolerance<S>(), what + " backward, gradient of up");
}

template <class S>
void test_type() {
  for (int kind = 0; kind < 4; ++kind)
    for (bool gated : {false, true}) test_activation<S>(Activation(kind), 301, gated, 0);
  test_activation<S>(Activation::silu, 4100, true, 0);  // more than a block, the last piece ragged
  test_activation<S>(Activation::gelu, 61, true, 1);
  test_activation<S>(Activation::relu, 0, false, 0);
}

}  // namespace
}  // namespace laim::test

int main() {
  laim::test::test_type<float>();
  laim::test::test_type<laim::bf16>();
  laim::test::test_type<laim::fp16>();
  return laim::test::summary();
}
