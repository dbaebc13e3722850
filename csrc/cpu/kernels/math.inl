// Vector mathematics, written once over the vector policy. In double, exp and the normal distribution go
// lane by lane to the C library: fp64 is there so that gradients can be checked, not for speed.
#pragma once

namespace laim::LAIM_ISA {

template <class Function>
LAIM_INLINE Vec<double> each_lane(Vec<double> x, const Function& function) {
  double lanes[Vec<double>::width];
  x.store(lanes);
  for (double& lane : lanes) lane = function(lane);
  return Vec<double>::load(lanes);
}

LAIM_INLINE Vec<double> exp(Vec<double> x) {
  return each_lane(x, [](double lane) { return ::exp(lane); });
}

// exp(x) = 2^n exp(r), |r| <= ln(2) / 2, exp(r) by a polynomial of relative error 3e-9; in all within 2 ulp
// where the result is a normal float. NaN stays NaN, below -104 the result is 0, above 88.7 infinity.
LAIM_INLINE Vec<float> exp(Vec<float> x) {
  using V = Vec<float>;
  x = V::min(V::all(89.0f), V::max(V::all(-104.0f), x));
  const V n = V::round(x * V::all(1.44269504f));
  // ln(2) in two parts, so that n * ln(2) is exact enough
  V r = V::fnma(n, V::all(0.693145752f), x);
  r = V::fnma(n, V::all(1.42860677e-6f), r);
  V p = V::all(1.3814595437e-3f);
  p = V::fma(p, r, V::all(8.3687172039e-3f));
  p = V::fma(p, r, V::all(4.1668388113e-2f));
  p = V::fma(p, r, V::all(1.6666520623e-1f));
  p = V::fma(p, r, V::all(4.9999993447e-1f));
  p = V::fma(p, r, V::all(1.0f));
  p = V::fma(p, r, V::all(1.0f));
  return V::scale2(p, n);
}

// The standard normal distribution function and its density, at one exp for both.
template <class V>
struct Normal {
  V cumulative, density;
};

LAIM_INLINE Normal<Vec<double>> normal(Vec<double> x) {
  using V = Vec<double>;
  const V cumulative = each_lane(x, [](double lane) { return 0.5 * ::erfc(-lane * 0.70710678118654752440); });
  return {cumulative, exp(x * x * V::all(-0.5)) * V::all(0.39894228040143267794)};
}

// For z = |x|: 1 - cumulative(z) = exp(-z^2 / 2) R(t) / 2, t = 1 / (1 + z / 4), where R(t) = erfcx(z / sqrt 2) is a
// polynomial in t of relative error 1.4e-8. No cancellation on the negative side.
LAIM_INLINE Normal<Vec<float>> normal(Vec<float> x) {
  using V = Vec<float>;
  const V z = V::abs(x);
  const V gauss = exp(z * z * V::all(-0.5f));
  const V t = V::all(1.0f) / V::fma(z, V::all(0.25f), V::all(1.0f));
  V p = V::all(0.06789460060591543f);
  p = V::fma(p, t, V::all(-0.39236055212157f));
  p = V::fma(p, t, V::all(0.790015901051564f));
  p = V::fma(p, t, V::all(-0.6669547701688179f));
  p = V::fma(p, t, V::all(0.6089863890929553f));
  p = V::fma(p, t, V::all(-0.040774433345099254f));
  p = V::fma(p, t, V::all(0.2431379150493865f));
  p = V::fma(p, t, V::all(0.18964009523241374f));
  p = V::fma(p, t, V::all(0.20045804261952138f));
  p = V::fma(p, t, V::all(-4.320239979859045e-05f));
  const V tail = V::all(0.5f) * gauss * p;
  const V cumulative = V::select(V::less(x, V::zero()), tail, V::all(1.0f) - tail);
  return {cumulative, gauss * V::all(0.3989422804f)};
}

// An activation's value and derivative at x.
template <class V>
struct ValueAndSlope {
  V value, slope;
};

template <Activation kind, class T>
LAIM_INLINE ValueAndSlope<Vec<T>> activate(Vec<T> x) {
  using V = Vec<T>;
  const V one = V::all(T(1));
  if constexpr (kind == Activation::relu) {
    return {V::max(V::zero(), x), V::select(V::less(V::zero(), x), one, V::zero())};
  } else if constexpr (kind == Activation::gelu) {
    const auto n = normal(x);
    return {x * n.cumulative, V::fma(x, n.density, n.cumulative)};
  } else {
    // silu: x s(x). gelu_tanh: x (1 + tanh(u)) / 2 = x s(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3); s: the sigmoid
    V inner = x, inner_slope = one;
    if constexpr (kind == Activation::gelu_tanh) {
      const V square = x * x;
      const V scale = V::all(T(1.59576912160573071176));
      inner = x * scale * V::fma(square, V::all(T(0.044715)), one);
      inner_slope = scale * V::fma(square, V::all(T(3 * 0.044715)), one);
    }
    const V sigmoid = one / (one + exp(V::zero() - inner));
    const V bend = x * sigmoid * (one - sigmoid) * inner_slope;
    return {x * sigmoid, sigmoid + bend};
  }
}

// Call body(kind) with the activation as a compile-time constant.
template <Activation kind>
struct Kind {
  static constexpr Activation value = kind;
};

template <class Body>
LAIM_INLINE void with_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::relu: return body(Kind<Activation::relu>());
    case Activation::gelu: return body(Kind<Activation::gelu>());
    case Activation::gelu_tanh: return body(Kind<Activation::gelu_tanh>());
    case Activation::silu: return body(Kind<Activation::silu>());
  }
}

}  // namespace laim::LAIM_ISA
