// Linear layer, MLP and gated MLP. The MLPs have one plan, the gated one a factor `up` more:
//
//   h = act(x w1^T + b1) * (x w_up^T), out = h w2^T + b2
//
// Kept for the backward is what the activation saw (and up), not h: the epilogue of the product that makes h's gradient
// reads them anyway for the derivative, and makes h again beside it.
#include "ops/matmul.h"
#include "ops/ops.h"

namespace laim::LAIM_ON {
namespace {

Tensor shaped(const Tensor& tensor, const Shape& shape) { return torch::stable::view(tensor, shape); }

Activation checked(int64_t activation) {
  require(0 <= activation && activation <= int64_t(Activation::silu), "laimbench::mlp: unknown activation");
  return static_cast<Activation>(activation);
}

Tensor nothing(const Device& on, const Tensor& like) { return on.empty({0}, like.scalar_type()); }

struct Forward {
  Tensor out, pre, up;  // pre and up are empty unless kept, up also without w_up
};

Forward forward(Tensor x, Tensor w1, OptionalTensor b1, OptionalTensor w_up, Tensor w2, OptionalTensor b2,
                int64_t activation, bool keep) {
  x = packed(x), w1 = packed(w1), b1 = packed(b1), w_up = packed(w_up), w2 = packed(w2), b2 = packed(b2);
  require(w1.dim() == 2 && w2.dim() == 2 && x.size(x.dim() - 1) == w1.size(1) && w1.size(0) == w2.size(1) &&
              (!b1 || b1->numel() == w1.size(0)) && (!b2 || b2->numel() == w2.size(0)) &&
              (!w_up || (w_up->dim() == 2 && w_up->size(0) == w1.size(0) && w_up->size(1) == w1.size(1))),
          "laimbench::mlp: shapes of x and the weights do not fit");
  const Device on(x);
  const Operand rows = rows_operand(x);
  const OptionalTensor up = w_up ? OptionalTensor(matmul(on, rows, rows_operand(*w_up).t())) : std::nullopt;
  const Activated hidden = matmul_activation(on, rows, rows_operand(w1).t(), b1, checked(activation), keep, up);
  const Tensor out = matmul(on, rows_operand(hidden.value), rows_operand(w2).t(), b2);
  return {shaped(out, with_last(shape_of(x), w2.size(0))), hidden.pre, keep && up ? *up : nothing(on, x)};
}

struct Gradients {
  Tensor x, w1, b1, w_up, w2, b2;  // empty where not needed
};

Gradients backward(Tensor gradient, Tensor x, Tensor w1, OptionalTensor w_up, Tensor w2, Tensor pre, OptionalTensor up,
                   int64_t activation, bool need_x, bool need_b1, bool need_b2) {
  gradient = packed(gradient), x = packed(x), w1 = packed(w1), w_up = packed(w_up), w2 = packed(w2);
  pre = packed(pre), up = packed(up);
  const Operand rows = rows_operand(x), g = rows_operand(gradient);
  require(w1.dim() == 2 && w2.dim() == 2 && rows.columns == w1.size(1) && w1.size(0) == w2.size(1) &&
              g.columns == w2.size(0) && g.rows == rows.rows && pre.numel() == rows.rows * w1.size(0) &&
              w_up.has_value() == up.has_value() && (!w_up || w_up->numel() == w1.numel()) &&
              (!up || up->numel() == pre.numel()),
          "laimbench::mlp: shapes of the gradient, x and the weights do not fit");
  const Device on(x);
  const ActivationGradient hidden = matmul_activation_gradient(on, g, rows_operand(w2), pre, checked(activation), up);
  const Operand h = rows_operand(hidden.gradient), h_up = rows_operand(hidden.gradient_up);
  const Tensor gradient_w2 = matmul(on, g.t(), rows_operand(hidden.activated));
  const Tensor gradient_w1 = matmul(on, h.t(), rows);
  const Tensor gradient_w_up = up ? matmul(on, h_up.t(), rows) : nothing(on, x);
  const auto through = [&] {
    return up ? matmul_sum(on, h, rows_operand(w1), h_up, rows_operand(*w_up)) : matmul(on, h, rows_operand(w1));
  };
  return {need_x ? shaped(through(), shape_of(x)) : nothing(on, x),
          gradient_w1,
          need_b1 ? column_sum(on, h) : nothing(on, x),
          gradient_w_up,
          gradient_w2,
          need_b2 ? column_sum(on, g) : nothing(on, x)};
}

}  // namespace

Tensor linear(Tensor x, Tensor w, OptionalTensor b) {
  x = packed(x), w = packed(w), b = packed(b);
  require(w.dim() == 2 && x.size(x.dim() - 1) == w.size(1), "laimbench::linear: shapes of x and w do not fit");
  const Device on(x);
  return shaped(matmul(on, rows_operand(x), rows_operand(w).t(), b), with_last(shape_of(x), w.size(0)));
}

std::tuple<Tensor, Tensor, Tensor> linear_backward(Tensor gradient, Tensor x, Tensor w, bool need_x, bool need_b) {
  gradient = packed(gradient), x = packed(x), w = packed(w);
  const Device on(x);
  const Operand g = rows_operand(gradient);
  const Tensor gradient_x = need_x ? shaped(matmul(on, g, rows_operand(w)), shape_of(x)) : nothing(on, x);
  const Tensor gradient_w = matmul(on, g.t(), rows_operand(x));
  return {gradient_x, gradient_w, need_b ? column_sum(on, g) : nothing(on, x)};
}

std::tuple<Tensor, Tensor> mlp(Tensor x, Tensor w1, OptionalTensor b1, Tensor w2, OptionalTensor b2, int64_t activation,
                               bool keep_pre) {
  const Forward made = forward(x, w1, b1, std::nullopt, w2, b2, activation, keep_pre);
  return {made.out, made.pre};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> mlp_backward(Tensor gradient, Tensor x, Tensor w1, Tensor w2,
                                                                Tensor pre, int64_t activation, bool need_x,
                                                                bool need_b1, bool need_b2) {
  const Gradients made =
      backward(gradient, x, w1, std::nullopt, w2, pre, std::nullopt, activation, need_x, need_b1, need_b2);
  return {made.x, made.w1, made.b1, made.w2, made.b2};
}

std::tuple<Tensor, Tensor, Tensor> gated_mlp(Tensor x, Tensor w_gate, Tensor w_up, Tensor w_down, int64_t activation,
                                             bool keep) {
  const Forward made = forward(x, w_gate, std::nullopt, w_up, w_down, std::nullopt, activation, keep);
  return {made.out, made.pre, made.up};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> gated_mlp_backward(Tensor gradient, Tensor x, Tensor w_gate, Tensor w_up,
                                                              Tensor w_down, Tensor gate, Tensor up, int64_t activation,
                                                              bool need_x) {
  const Gradients made = backward(gradient, x, w_gate, w_up, w_down, gate, up, activation, need_x, false, false);
  return {made.x, made.w1, made.w_up, made.w2};
}

}  // namespace laim::LAIM_ON
