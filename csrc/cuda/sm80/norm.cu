#include "cuda/sm80/norm.cuh"

#include "cuda/launch.cuh"

namespace laim::cuda {

template <class S>
const char* norm(const NormArgs<S>& args, Stream stream) {
  const bool by_chunks =
      args.columns % row_step<S> == 0 && aligned(args.x, args.residual, args.weight, args.bias, args.out, args.sum);
  return start(norm_launch(args), stream, args.mean ? norm_kernel<S, true> : norm_kernel<S, false>, args, by_chunks);
}

int64_t norm_parts_count(int64_t rows, int64_t columns) { return norm_backward_blocks(rows) * 2 * columns; }

template <class S>
const char* norm_backward(const NormBackwardArgs<S>& args, float* parts, Stream stream) {
  const bool by_chunks = args.columns % row_step<S> == 0 &&
                         aligned(args.gradient, args.gradient_sum, args.sum, args.weight, args.gradient_x);
  const int64_t blocks = norm_backward_blocks(args.rows);
  const char* error =
      start(norm_backward_launch(args), stream,
            args.mean ? norm_backward_kernel<S, true> : norm_backward_kernel<S, false>, args, blocks, parts, by_chunks);
  if (error) return error;
  return start(norm_parts_launch(args.columns), stream, norm_parts_kernel<S>, args, blocks, parts);
}

template const char* norm(const NormArgs<float>&, Stream);
template const char* norm(const NormArgs<bf16>&, Stream);
template const char* norm(const NormArgs<fp16>&, Stream);
template const char* norm_backward(const NormBackwardArgs<float>&, float*, Stream);
template const char* norm_backward(const NormBackwardArgs<bf16>&, float*, Stream);
template const char* norm_backward(const NormBackwardArgs<fp16>&, float*, Stream);

}  // namespace laim::cuda
