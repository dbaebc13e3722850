// silu(a) * b and its gradients in one pass over memory each, fp32 on the CPU, through LibTorch's stable ABI.
#include <Python.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cmath>
#include <stdexcept>
#include <tuple>

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

namespace {

const float* data(const Tensor& tensor) { return static_cast<const float*>(tensor.data_ptr()); }
float* out(const Tensor& tensor) { return static_cast<float*>(tensor.data_ptr()); }

void check(const Tensor& a, const Tensor& b) {
  if (a.scalar_type() != ScalarType::Float || b.scalar_type() != ScalarType::Float || a.numel() != b.numel())
    throw std::runtime_error("swiglu: expected two float32 tensors of the same shape");
}

Tensor forward(Tensor a, Tensor b) {
  check(a, b);
  a = torch::stable::contiguous(a), b = torch::stable::contiguous(b);
  Tensor made = torch::stable::empty_like(a);
  const float *pa = data(a), *pb = data(b);
  float* result = out(made);
  for (int64_t i = 0, n = a.numel(); i < n; ++i) result[i] = pa[i] / (1 + std::exp(-pa[i])) * pb[i];
  return made;
}

std::tuple<Tensor, Tensor> backward(Tensor gradient, Tensor a, Tensor b) {
  check(a, b);
  gradient = torch::stable::contiguous(gradient);
  a = torch::stable::contiguous(a), b = torch::stable::contiguous(b);
  Tensor of_a = torch::stable::empty_like(a), of_b = torch::stable::empty_like(b);
  const float *g = data(gradient), *pa = data(a), *pb = data(b);
  float *ga = out(of_a), *gb = out(of_b);
  for (int64_t i = 0, n = a.numel(); i < n; ++i) {
    const float sigmoid = 1 / (1 + std::exp(-pa[i]));
    ga[i] = g[i] * pb[i] * sigmoid * (1 + pa[i] * (1 - sigmoid));
    gb[i] = g[i] * pa[i] * sigmoid;
  }
  return {of_a, of_b};
}

}  // namespace

STABLE_TORCH_LIBRARY(swiglu, library) {
  library.def("forward(Tensor a, Tensor b) -> Tensor");
  library.def("backward(Tensor gradient, Tensor a, Tensor b) -> (Tensor, Tensor)");
}
STABLE_TORCH_LIBRARY_IMPL(swiglu, CPU, library) {
  library.impl("forward", TORCH_BOX(&forward));
  library.impl("backward", TORCH_BOX(&backward));
}

// Importing the module registers the ops; it holds nothing else.
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
PyMODINIT_FUNC PyInit__C() { return PyModule_Create(&module); }
