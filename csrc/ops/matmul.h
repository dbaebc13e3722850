// Matrix products of the ops, with what follows them: our own GEMM where the device says so, stock's elsewhere (on a
// CPU bf16 that ours does not multiply by pairs, for oneDNN uses bf16 units that ours would not).
#pragma once
#include "ops/device.h"

namespace laim::LAIM_ON {

// A contiguous 2-d operand, possibly read transposed.
struct Operand {
  Tensor tensor;
  int64_t rows, columns;  // as stored
  bool transpose = false;

  Operand t() const { return {tensor, rows, columns, !transpose}; }
  int64_t m() const { return transpose ? columns : rows; }
  int64_t n() const { return transpose ? rows : columns; }
};

// tensor (..., columns) as a matrix of all its rows.
Operand rows_operand(const Tensor& tensor);

// a b (+ bias), shape (a.m, b.n).
Tensor matmul(const Device& on, const Operand& a, const Operand& b, const OptionalTensor& bias = std::nullopt);
void matmul_into(const Device& on, const Operand& a, const Operand& b, const OptionalTensor& bias, const Tensor& out);

// total += a b; total in the compute type (float for bf16).
void matmul_accumulate(const Device& on, const Operand& a, const Operand& b, const Tensor& total);

// a b + c d, two products of one shape.
Tensor matmul_sum(const Device& on, const Operand& a, const Operand& b, const Operand& c, const Operand& d);

struct Activated {
  Tensor pre, value;  // pre is empty unless asked for
};
// pre = a b + bias, value = act(pre), times up when up is given
Activated matmul_activation(const Device& on, const Operand& a, const Operand& b, const OptionalTensor& bias,
                            Activation activation, bool keep_pre, const OptionalTensor& up);

struct ActivationGradient {
  Tensor gradient, activated, gradient_up;  // gradient_up is empty without up
};
// gradient = (a b) * act'(pre), activated = act(pre); when up is given both times up, and gradient_up = (a b) *
// act(pre)
ActivationGradient matmul_activation_gradient(const Device& on, const Operand& a, const Operand& b, const Tensor& pre,
                                              Activation activation, const OptionalTensor& up);

// Sum over rows of a contiguous (rows, columns) tensor, in the tensor's dtype.
Tensor column_sum(const Device& on, const Operand& in);
void column_sum_into(const Device& on, const Operand& in, const Tensor& total, bool accumulate);

}  // namespace laim::LAIM_ON
