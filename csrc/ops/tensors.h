// What the ops need of torch, through LibTorch's stable ABI: tensors in, tensors out, torch's threads.
#pragma once
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <optional>
#include <string>

#include "core/kernels.h"
#include "cpu/dispatch.h"

namespace laim {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;
using Shape = std::vector<int64_t>;

// Throws std::runtime_error with just this text (torch turns it into RuntimeError).
void require(bool condition, const std::string& message);

// torch's thread pool as the kernels want it.
const Parallel& torch_threads();

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

template <class S>
const Kernels<S>& kernels() {
  return kernels_of<S>(kernel_table(chosen_isa()));
}

// Call body(S{}) with the storage type of the tensor.
template <class Body>
auto with_storage_type(const Tensor& tensor, const Body& body) {
  switch (tensor.scalar_type()) {
    case ScalarType::Double: return body(double{});
    case ScalarType::Float: return body(float{});
    case ScalarType::BFloat16: return body(bf16{});
    default: break;
  }
  require(false, "laimbench: dtype not supported, expected float64, float32 or bfloat16");
  return body(float{});
}

inline Tensor empty(const Shape& shape, ScalarType type) { return torch::stable::empty(shape, type); }
template <class S>
Tensor empty_of(const Shape& shape) {
  return empty(shape, scalar_type<S>());
}

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

inline Tensor packed(const Tensor& tensor) { return torch::stable::contiguous(tensor); }
inline OptionalTensor packed(const OptionalTensor& tensor) {
  return tensor ? OptionalTensor(packed(*tensor)) : std::nullopt;
}

template <class S>
const S* data_of(const Tensor& tensor) {
  return static_cast<const S*>(tensor.data_ptr());
}
template <class S>
const S* data_of(const OptionalTensor& tensor) {
  return tensor ? data_of<S>(*tensor) : nullptr;
}
template <class S>
S* out_of(const Tensor& tensor) {
  return static_cast<S*>(tensor.data_ptr());
}

// A contiguous (rows, columns) tensor, and its transpose without moving it.
template <class S>
Matrix<S> matrix_of(const Tensor& tensor) {
  return {out_of<S>(tensor), tensor.dim() > 0 ? tensor.size(tensor.dim() - 1) : 1, 1};
}
template <class S>
Matrix<S> transposed(Matrix<S> matrix) {
  return {matrix.data, matrix.column_stride, matrix.row_stride};
}
template <class S>
Matrix<const S> read_only(Matrix<S> matrix) {
  return {matrix.data, matrix.row_stride, matrix.column_stride};
}

}  // namespace laim
