// A CUDA device as the ops see it: kernels on torch's current stream, memory from torch's allocator, nothing waited
// for. Not yet run on a GPU. With LAIM_TWIN the same code runs on CPU tensors, the kernels under the shim
// (csrc/cuda/shim).
#pragma once
#ifndef LAIM_TWIN
#include <torch/csrc/stable/accelerator.h>
#endif

#include "cuda/kernels.h"
#include "ops/tensors.h"

namespace laim::LAIM_ON {

class Device {
 public:
  explicit Device(const Tensor& of);  // of the op's arguments

  static constexpr bool on_host = false;
  static constexpr bool any_channel_stride = false;
  // Of a chunk of linear_cross_entropy: products that fill a card. A guess; no card has been asked.
  static constexpr int64_t logits_bytes = int64_t(256) << 20, fewest_tokens = 1024, token_step = 128;

  template <class Body>
  static auto with_storage_type(const Tensor& tensor, const Body& body) {
    switch (tensor.scalar_type()) {
      case ScalarType::Float: return body(float{});
      case ScalarType::Half: return body(fp16{});
      case ScalarType::BFloat16: return body(bf16{});
      default: break;
    }
    require(false, "laimbench: dtype not supported on CUDA, expected float32, bfloat16 or float16");
    return body(bf16{});
  }

  Tensor empty(const Shape& shape, ScalarType type) const {
    return torch::stable::empty(shape, type, std::nullopt, device_);
  }

  // Whether products are ours, for which of the two is faster no card has been asked: LAIMBENCH_CUDA_PRODUCTS=stock.
  static bool own_products();
  template <class S>
  static bool own_product() {
    return own_products();
  }

  template <class S>
  void gemm(const GemmArgs<S>& args, const Matrix<Compute<S>>& total) const {
    started(cuda::gemm(args, total, stream_));
  }
  template <class S>
  void activation(const ActivationArgs<S>& args) const {
    started(cuda::activation(args, stream_));
  }
  template <class S>
  void column_sum(const ColumnSumArgs<S>& args) const {
    started(cuda::column_sum(args, stream_));
  }
  template <class S>
  void norm(const NormArgs<S>& args) const {
    started(cuda::norm(args, stream_));
  }
  template <class S>
  void norm_backward(const NormBackwardArgs<S>& args) const {
    const Tensor parts = empty({cuda::norm_parts_count(args.rows, args.columns)}, ScalarType::Float);
    started(cuda::norm_backward(args, out_of<float>(parts), stream_));
  }
  template <class S>
  void cross_entropy(const CrossEntropyArgs<S>& args) const {
    started(cuda::cross_entropy(args, stream_));
  }
  template <class S>
  void attention(const AttentionArgs<S>& args) const {
    started(cuda::attention(args, stream_));
  }
  template <class S>
  void attention_backward(const AttentionBackwardArgs<S>& args) const {
    const AttentionArgs<S>& forward = args.forward;
    const Tensor delta = empty({forward.batch, forward.query_heads, forward.queries}, ScalarType::Float);
    started(cuda::attention_backward(args, out_of<float>(delta), stream_));
  }

 private:
  static void started(const char* error) {
    require(error == nullptr, std::string("laimbench: ") + (error ? error : ""));
  }

  torch::stable::Device device_;
#ifdef LAIM_TWIN
  shim::Permits permits_;
#else
  torch::stable::accelerator::DeviceGuard guard_;
#endif
  cuda::Stream stream_ = nullptr;
};

}  // namespace laim::LAIM_ON
