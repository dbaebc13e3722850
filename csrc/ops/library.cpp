// The ops' schemas. Their implementations are registered in register.cpp, fakes and autograd in Python, beside each op.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(laimbench, library) {
  library.def(
      "attention(Tensor q, Tensor k, Tensor v, bool causal, float scale, Tensor? key_lengths, int window)"
      " -> (Tensor, Tensor)");
  library.def(
      "attention_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse, bool causal,"
      " float scale, Tensor? key_lengths, int window) -> (Tensor, Tensor, Tensor)");
  library.def("linear(Tensor x, Tensor w, Tensor? b) -> Tensor");
  library.def(
      "linear_backward(Tensor gradient, Tensor x, Tensor w, bool need_x, bool need_b) -> (Tensor, Tensor, Tensor)");
  library.def(
      "mlp(Tensor x, Tensor w1, Tensor? b1, Tensor w2, Tensor? b2, int activation, bool keep_pre)"
      " -> (Tensor, Tensor)");
  library.def(
      "mlp_backward(Tensor gradient, Tensor x, Tensor w1, Tensor w2, Tensor pre, int activation, bool need_x,"
      " bool need_b1, bool need_b2) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "gated_mlp(Tensor x, Tensor w_gate, Tensor w_up, Tensor w_down, int activation, bool keep)"
      " -> (Tensor, Tensor, Tensor)");
  library.def(
      "gated_mlp_backward(Tensor gradient, Tensor x, Tensor w_gate, Tensor w_up, Tensor w_down, Tensor gate, Tensor up,"
      " int activation, bool need_x) -> (Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "layer_norm(Tensor x, Tensor? weight, Tensor? bias, float eps, Tensor? residual)"
      " -> (Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "layer_norm_backward(Tensor gradient, Tensor? gradient_sum, Tensor sum, Tensor? weight, Tensor mean, Tensor rstd,"
      " bool need_b) -> (Tensor, Tensor, Tensor)");
  library.def("rms_norm(Tensor x, Tensor? weight, float eps, Tensor? residual) -> (Tensor, Tensor, Tensor)");
  library.def(
      "rms_norm_backward(Tensor gradient, Tensor? gradient_sum, Tensor sum, Tensor? weight, Tensor rstd)"
      " -> (Tensor, Tensor)");
  library.def(
      "linear_cross_entropy(Tensor x, Tensor w, Tensor? b, Tensor target, int ignore_index, Tensor? scale,"
      " bool with_gradients) -> (Tensor, Tensor, Tensor, Tensor)");
}
