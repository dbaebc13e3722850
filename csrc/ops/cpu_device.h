// The CPU as the ops see it: kernels of the chosen instruction set, on torch's threads.
#pragma once
#include "cpu/dispatch.h"
#include "ops/tensors.h"

namespace laim::LAIM_ON {

// torch's thread pool as the kernels want it.
const Parallel& torch_threads();

class Device {
 public:
  explicit Device(const Tensor&) {}  // of the op's arguments

  static constexpr bool on_host = true;             // tensors can be read here and now
  static constexpr bool any_channel_stride = true;  // of attention's arguments
  // Of a chunk of linear_cross_entropy: near the cache, but few enough chunks that the products stay large (of 50,257
  // columns, 256 tokens a chunk take 0.9 of the time that 128 take, and 384 not less), and whole micro-tiles.
  static constexpr int64_t logits_bytes = int64_t(4) << 20, fewest_tokens = 336, token_step = 48;

  // Call body(S{}) with the storage type of the tensor.
  template <class Body>
  static auto with_storage_type(const Tensor& tensor, const Body& body) {
    switch (tensor.scalar_type()) {
      case ScalarType::Double: return body(double{});
      case ScalarType::Float: return body(float{});
      case ScalarType::BFloat16: return body(bf16{});
      default: break;
    }
    require(false, "laimbench: dtype not supported, expected float64, float32 or bfloat16");
    return body(float{});
  }

  Tensor empty(const Shape& shape, ScalarType type) const;

  // Whether products are ours, as far as we have them: of bf16, only where we multiply pairs.
  template <class S>
  static bool own_product() {
    return kernels<S>().gemm != nullptr;
  }

  template <class S>
  void gemm(const GemmArgs<S>& args, const Matrix<Compute<S>>& total) const {
    kernels<S>().gemm(args, total, torch_threads());
  }
  template <class S>
  void activation(const ActivationArgs<S>& args) const {
    kernels<S>().activation(args, torch_threads());
  }
  template <class S>
  void column_sum(const ColumnSumArgs<S>& args) const {
    kernels<S>().column_sum(args, torch_threads());
  }
  template <class S>
  void norm(const NormArgs<S>& args) const {
    kernels<S>().norm(args, torch_threads());
  }
  template <class S>
  void norm_backward(const NormBackwardArgs<S>& args) const {
    kernels<S>().norm_backward(args, torch_threads());
  }
  template <class S>
  void cross_entropy(const CrossEntropyArgs<S>& args) const {
    kernels<S>().cross_entropy(args, torch_threads());
  }
  template <class S>
  void attention(const AttentionArgs<S>& args) const {
    kernels<S>().attention(args, torch_threads());
  }
  template <class S>
  void attention_backward(const AttentionBackwardArgs<S>& args) const {
    kernels<S>().attention_backward(args, torch_threads());
  }

 private:
  template <class S>
  static const Kernels<S>& kernels() {
    return kernels_of<S>(kernel_table(chosen_isa()));
  }
};

}  // namespace laim::LAIM_ON
