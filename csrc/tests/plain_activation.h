// Activations and their derivatives in double, for tests.
#pragma once
#include <cmath>

#include "core/kernels.h"

namespace laim::test {

inline double activation_value(Activation kind, double x) {
  switch (kind) {
    case Activation::relu: return x > 0 ? x : 0;
    case Activation::gelu: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::silu: return x / (1 + std::exp(-x));
  }
  return 0;
}
// good to about 1e-9
inline double activation_slope(Activation kind, double x) {
  const double h = 1e-5;
  if (kind == Activation::relu) return x > 0 ? 1 : 0;
  return (activation_value(kind, x + h) - activation_value(kind, x - h)) / (2 * h);
}

}  // namespace laim::test
