// Layer norm and RMS norm, forward and backward, against plain loops in double.
#include "tests/plain_norm.h"

namespace laim::test {
namespace {

template <class S>
void test_norm(const Kernels<S>& kernels, bool centred, int64_t rows, int64_t columns, double offset) {
  using T = Compute<S>;
  const std::string what = std::string(type_name<S>()) + (centred ? " layer norm " : " RMS norm ") +
                           std::to_string(rows) + "x" + std::to_string(columns) + " at " + std::to_string(offset) + " ";
  auto x = random_values<S>(rows * columns, 11);
  for (S& each : x) each = stored<S>(value(each) + offset);
  const auto r = random_values<S>(rows * columns, 12), g = random_values<S>(rows * columns, 13),
             weight = random_values<S>(columns, 14), bias = random_values<S>(columns, 15);
  std::vector<S> out(rows * columns), sum(rows * columns), dx(rows * columns), dweight(columns), dbias(columns);
  std::vector<T> mean(rows), rstd(rows);
  const double eps = 1e-3;
  kernels.norm({rows, columns, x.data(), r.data(), weight.data(), bias.data(), eps, out.data(), sum.data(),
                centred ? mean.data() : nullptr, rstd.data()},
               any_order);
  kernels.norm_backward({rows, columns, g.data(), r.data(), sum.data(), weight.data(), centred ? mean.data() : nullptr,
                         rstd.data(), dx.data(), dweight.data(), centred ? dbias.data() : nullptr},
                        any_order);
  const Expected e = plain_norm(centred, rows, columns, eps, sum, weight, bias, g, r);
  // one column of a layer norm: nothing but rounding is left of the gradient, times rstd
  const double factor = centred && columns == 1 ? 100 : 2;
  // x - mean is as exact as x is: relative to the rows' spread, a large offset costs its share of digits
  const double input = 1 + std::fabs(offset);
  check_close(out, e.out, factor * tolerance<S>() * (sizeof(S) == 2 ? 1 : input), what);
  check_close(dx, e.dx, factor * tolerance<S>() * (sizeof(S) == 2 ? 1 : input), what + "dx");
  if (!centred || columns > 1) check_close(dweight, e.dweight, factor * tolerance<S>() * input, what + "dweight");
  if (centred) check_close(dbias, e.dbias, factor * tolerance<S>(), what + "dbias");
  for (int64_t at = 0; at < rows * columns; ++at)
    if (value(sum[at]) != value(stored<S>(double(T(T(value(x[at])) + T(value(r[at])))))))
      return check(false, what + "sum");

  // without weight, bias, residual: the same as with ones and zeros
  const std::vector<S> ones(columns, stored<S>(1)), zeros(rows * columns, stored<S>(0));
  kernels.norm({rows, columns, sum.data(), nullptr, nullptr, nullptr, eps, out.data(), nullptr,
                centred ? mean.data() : nullptr, rstd.data()},
               in_order);
  kernels.norm_backward({rows, columns, g.data(), nullptr, sum.data(), nullptr, centred ? mean.data() : nullptr,
                         rstd.data(), dx.data(), nullptr, nullptr},
                        in_order);
  const Expected plain = plain_norm(centred, rows, columns, eps, sum, ones, zeros, g, zeros);
  check_close(out, plain.out, factor * tolerance<S>() * (sizeof(S) == 2 ? 1 : input), what + "plain");
  // with one or two columns the terms of dx cancel but for eps: nothing to compare rounding errors with
  if (columns > 2) check_close(dx, plain.dx, factor * tolerance<S>() * (sizeof(S) == 2 ? 1 : input), what + "plain dx");
}

// A constant row of a layer norm is exactly zeros, however many columns and however large the constant.
template <class S>
void test_constant_rows(const Kernels<S>& kernels) {
  using T = Compute<S>;
  for (double constant : {3.3, 1e4, -7e-5, 1e10})
    for (int64_t columns : {1, 15, 300, 1000}) {
      std::vector<S> x(columns, stored<S>(constant)), out(columns, stored<S>(1));
      T mean, rstd;
      kernels.norm({1, columns, x.data(), nullptr, nullptr, nullptr, 1e-5, out.data(), nullptr, &mean, &rstd},
                   in_order);
      bool zero = true;
      for (const S& each : out) zero = zero && value(each) == 0;
      check(zero, std::string(type_name<S>()) + " layer norm of the constant " + std::to_string(constant) + " times " +
                      std::to_string(columns));
    }
}

}  // namespace

void test_norms(const KernelTable& table) {
  const auto of_type = [](const auto& kernels) {
    // 32 rows or more are a task: one, some, one left over
    for (bool centred : {true, false})
      for (int64_t rows : {1, 4, 7, 70})
        for (int64_t columns : {1, 2, 15, 16, 33, 300, 1100}) test_norm(kernels, centred, rows, columns, 0);
    for (bool centred : {true, false}) test_norm(kernels, centred, 2100, 9, 0), test_norm(kernels, centred, 6, 300, 30);
    test_constant_rows(kernels);
  };
  of_type(table.f64);
  of_type(table.f32);
  of_type(table.bf);
}

}  // namespace laim::test
