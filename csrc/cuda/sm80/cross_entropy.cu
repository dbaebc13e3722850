#include "cuda/sm80/cross_entropy.cuh"

#include "cuda/launch.cuh"

namespace laim::cuda {

template <class S>
const char* cross_entropy(const CrossEntropyArgs<S>& args, Stream stream) {
  const bool by_chunks = args.columns % row_step<S> == 0 && aligned(args.logits);
  return start(cross_entropy_launch(args), stream, cross_entropy_kernel<S>, args, by_chunks);
}

template <class S>
const char* column_sum(const ColumnSumArgs<S>& args, Stream stream) {
  return start(column_sum_launch(args), stream, column_sum_kernel<S>, args);
}

template const char* cross_entropy(const CrossEntropyArgs<float>&, Stream);
template const char* cross_entropy(const CrossEntropyArgs<bf16>&, Stream);
template const char* cross_entropy(const CrossEntropyArgs<fp16>&, Stream);
template const char* column_sum(const ColumnSumArgs<float>&, Stream);
template const char* column_sum(const ColumnSumArgs<bf16>&, Stream);
template const char* column_sum(const ColumnSumArgs<fp16>&, Stream);

}  // namespace laim::cuda
