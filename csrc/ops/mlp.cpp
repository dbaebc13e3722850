#include "ops/matmul.h"
#include "ops/ops.h"

namespace laim {
namespace {

Tensor shaped(const Tensor& tensor, const Shape& shape) { return torch::stable::view(tensor, shape); }

Activation checked(int64_t activation) {
  require(0 <= activation && activation <= int64_t(Activation::silu), "laimbench::mlp: unknown activation");
  return static_cast<Activation>(activation);
}

Tensor nothing(const Tensor& like) { return empty({0}, like.scalar_type()); }

}  // namespace

Tensor linear(Tensor x, Tensor w, OptionalTensor b) {
  x = packed(x), w = packed(w), b = packed(b);
  require(w.dim() == 2 && x.size(x.dim() - 1) == w.size(1), "laimbench::linear: shapes of x and w do not fit");
  return shaped(matmul(rows_operand(x), rows_operand(w).t(), b), with_last(shape_of(x), w.size(0)));
}

std::tuple<Tensor, Tensor, Tensor> linear_backward(Tensor gradient, Tensor x, Tensor w, bool need_x, bool need_b) {
  gradient = packed(gradient), x = packed(x), w = packed(w);
  const Operand g = rows_operand(gradient);
  const Tensor gradient_x = need_x ? shaped(matmul(g, rows_operand(w)), shape_of(x)) : nothing(x);
  const Tensor gradient_w = matmul(g.t(), rows_operand(x));
  return {gradient_x, gradient_w, need_b ? column_sum(g) : nothing(x)};
}

std::tuple<Tensor, Tensor> mlp(Tensor x, Tensor w1, OptionalTensor b1, Tensor w2, OptionalTensor b2, int64_t activation,
                               bool keep_pre) {
  x = packed(x), w1 = packed(w1), b1 = packed(b1), w2 = packed(w2), b2 = packed(b2);
  require(w1.dim() == 2 && w2.dim() == 2 && x.size(x.dim() - 1) == w1.size(1) && w1.size(0) == w2.size(1),
          "laimbench::mlp: shapes of x, w1 and w2 do not fit");
  const Activated hidden = matmul_activation(rows_operand(x), rows_operand(w1).t(), b1, checked(activation), keep_pre);
  const Tensor out = matmul(rows_operand(hidden.value), rows_operand(w2).t(), b2);
  return {shaped(out, with_last(shape_of(x), w2.size(0))), hidden.pre};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> mlp_backward(Tensor gradient, Tensor x, Tensor w1, Tensor w2,
                                                                Tensor pre, int64_t activation, bool need_x,
                                                                bool need_b1, bool need_b2) {
  gradient = packed(gradient), x = packed(x), w1 = packed(w1), w2 = packed(w2), pre = packed(pre);
  const Operand g = rows_operand(gradient);
  const ActivationGradient hidden = matmul_activation_gradient(g, rows_operand(w2), pre, checked(activation));
  const Operand h = rows_operand(hidden.gradient);
  const Tensor gradient_w2 = matmul(g.t(), rows_operand(hidden.activated));
  const Tensor gradient_w1 = matmul(h.t(), rows_operand(x));
  const Tensor gradient_x = need_x ? shaped(matmul(h, rows_operand(w1)), shape_of(x)) : nothing(x);
  return {gradient_x, gradient_w1, need_b1 ? column_sum(h) : nothing(x), gradient_w2,
          need_b2 ? column_sum(g) : nothing(x)};
}

}  // namespace laim
