#include "cuda/sm80/activation.cuh"

#include "cuda/launch.cuh"

namespace laim::cuda {

template <class S>
const char* activation(const ActivationArgs<S>& args, Stream stream) {
  return start(activation_launch(args), stream, activation_kernel<S>, args,
               aligned(args.pre, args.gradient, args.activated, args.out, args.up, args.gradient_up));
}

template const char* activation(const ActivationArgs<float>&, Stream);
template const char* activation(const ActivationArgs<bf16>&, Stream);
template const char* activation(const ActivationArgs<fp16>&, Stream);

}  // namespace laim::cuda
