// Layer norm (centred) and RMS norm in double, forward and backward, for tests.
#pragma once
#include "tests/check.h"

namespace laim::test {

struct Expected {
  std::vector<double> out, dx, dweight, dbias;
};

// `sum` is what is normalised, `r` the gradient that reaches it from elsewhere.
template <class S>
Expected plain_norm(bool centred, int64_t rows, int64_t columns, double eps, const std::vector<S>& sum,
                    const std::vector<S>& weight, const std::vector<S>& bias, const std::vector<S>& g,
                    const std::vector<S>& r) {
  Expected e;
  e.out.resize(rows * columns), e.dx.resize(rows * columns), e.dweight.resize(columns), e.dbias.resize(columns);
  const double n = double(columns);
  for (int64_t row = 0; row < rows * columns; row += columns) {
    double m = 0, v = 0, mean_g = 0, mean_gx = 0;
    if (centred)
      for (int64_t j = 0; j < columns; ++j) m += value(sum[row + j]) / n;
    for (int64_t j = 0; j < columns; ++j) v += (value(sum[row + j]) - m) * (value(sum[row + j]) - m) / n;
    const double scale = 1 / std::sqrt(v + eps);
    for (int64_t j = 0; j < columns; ++j) {
      const double normed = (value(sum[row + j]) - m) * scale, gw = value(g[row + j]) * value(weight[j]);
      e.out[row + j] = normed * value(weight[j]) + value(bias[j]);
      e.dweight[j] += value(g[row + j]) * normed;
      e.dbias[j] += value(g[row + j]);
      if (centred) mean_g += gw / n;
      mean_gx += gw * normed / n;
    }
    for (int64_t j = 0; j < columns; ++j) {
      const double normed = (value(sum[row + j]) - m) * scale;
      e.dx[row + j] = (value(g[row + j]) * value(weight[j]) - mean_g - normed * mean_gx) * scale + value(r[row + j]);
    }
  }
  return e;
}

}  // namespace laim::test
