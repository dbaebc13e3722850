// What the ops need of torch, through LibTorch's stable ABI: tensors in, tensors out.
//
// All of csrc/ops but library.cpp is compiled once for each device, into a namespace of its own (LAIM_ON).
#pragma once
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <optional>
#include <string>
#include <vector>

#include "core/kernels.h"
#ifdef LAIM_CUDA
#include "cuda/fp16.h"
#endif
#ifdef LAIM_TWIN
#include "cuda/shim/launch.h"
#endif

namespace laim::LAIM_ON {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;
using Shape = std::vector<int64_t>;

// Throws std::runtime_error with just this text (torch turns it into RuntimeError).
void require(bool condition, const std::string& message);

template <class S>
constexpr ScalarType scalar_type();
template <>
constexpr ScalarType scalar_type<double>() {
  return ScalarType::Double;
}
template <>
constexpr ScalarType scalar_type<float>() {
  return ScalarType::Float;
}
template <>
constexpr ScalarType scalar_type<bf16>() {
  return ScalarType::BFloat16;
}
#ifdef LAIM_CUDA
template <>
constexpr ScalarType scalar_type<fp16>() {
  return ScalarType::Half;
}
#endif

inline Shape shape_of(const Tensor& tensor) {
  const auto sizes = tensor.sizes();
  return Shape(sizes.begin(), sizes.end());
}
inline Shape with_last(Shape shape, int64_t last) {
  shape.back() = last;
  return shape;
}
// Elements by all dimensions but the last; counted, because the last may be 0.
inline int64_t rows_of(const Tensor& tensor) {
  int64_t rows = 1;
  for (int64_t d = 0; d + 1 < tensor.dim(); ++d) rows *= tensor.size(d);
  return rows;
}

// Asked first, for the way through the dispatcher is longer than the answer.
inline Tensor packed(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}
inline OptionalTensor packed(const OptionalTensor& tensor) {
  return tensor ? OptionalTensor(packed(*tensor)) : std::nullopt;
}

template <class S>
S* out_of(const Tensor& tensor) {
  S* const data = static_cast<S*>(tensor.data_ptr());
#ifdef LAIM_TWIN  // kernels may touch what they are given, and no byte beside it
  int64_t elements = tensor.numel() > 0 ? 1 : 0;
  for (int64_t d = 0; elements > 0 && d < tensor.dim(); ++d) elements += (tensor.size(d) - 1) * tensor.stride(d);
  shim::permit(data, elements * int64_t(sizeof(S)));
#endif
  return data;
}
template <class S>
const S* data_of(const Tensor& tensor) {
  return out_of<S>(tensor);
}
template <class S>
const S* data_of(const OptionalTensor& tensor) {
  return tensor ? data_of<S>(*tensor) : nullptr;
}

}  // namespace laim::LAIM_ON
