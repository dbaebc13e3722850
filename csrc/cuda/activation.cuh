// Activations and their derivatives in fp32, for the epilogue of a product and for the kernel of their own.
#pragma once
#include "core/kernels.h"
#include "cuda/ptx.cuh"

namespace laim::cuda {

struct ValueAndSlope {
  float value, slope;
};

// The product's own rounding, which would grow with |x| in the result, is put back in.
LAIM_DEVICE float exponential(float x) {
  const float rounded = x * log2_e, rest = fmaf(x, log2_e, -rounded) + x * log2_e_rest;
  const float power = exp2_approx(rounded);
  return rest == rest ? power * fmaf(rest, ln_2, 1.0f) : power;  // an infinity has no rest
}

LAIM_DEVICE ValueAndSlope activate(Activation kind, float x) {
  if (kind == Activation::relu) return {x < 0 ? 0.0f : x, x > 0 ? 1.0f : 0.0f};  // in this order: NaN stays NaN
  if (kind == Activation::gelu) {
    const float cumulative = 0.5f * erfcf(x * -0.70710678f);  // not 1 + erf: no cancellation on the negative side
    return {x * cumulative, cumulative + x * 0.39894228f * exponential(-0.5f * x * x)};
  }
  // silu: x s(x). gelu_tanh: x (1 + tanh(u)) / 2 = x s(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3); s: the sigmoid
  float inner = x, inner_slope = 1;
  if (kind == Activation::gelu_tanh) {
    inner = 1.59576912f * x * (1 + 0.044715f * x * x);
    inner_slope = 1.59576912f * (1 + 3 * 0.044715f * x * x);
  }
  const float sigmoid = 1 / (1 + exponential(-inner));
  return {x * sigmoid, sigmoid + x * sigmoid * (1 - sigmoid) * inner_slope};
}

// Backward of act(pre) times up (1 without a gate): the gradients of both, and the value again, which the next product
// needs.
struct ActivationGradient {
  float pre, up, activated;
};
LAIM_DEVICE ActivationGradient activation_gradient(Activation kind, float gradient, float pre, float up) {
  const ValueAndSlope f = activate(kind, pre);
  return {gradient * f.slope * up, gradient * f.value, f.value * up};
}

}  // namespace laim::cuda
