// Products with their epilogues, activations, column sums and cross-entropy against plain loops in double.
#include "tests/check.h"
#include "tests/plain_activation.h"

namespace laim::test {
namespace {

using Vector = std::vector<double>;

// One product: operands row-major or transposed, each epilogue, against the triple loop. gated: times `up`.
template <class S>
void test_product(const Kernels<S>& kernels, int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b,
                  Epilogue epilogue, Activation kind, bool gated = false) {
  using T = Compute<S>;
  const auto a = random_values<S>(m * k + 1, 1), b = random_values<S>(k * n + 1, 2), bias = random_values<S>(n + 1, 3);
  const auto up = random_values<S>(m * n, 6);
  auto out = random_values<S>(m * n, 4), pre = random_values<S>(m * n, 5), activated = pre, gradient_up = pre;
  auto total = random_values<T>(m * n, 4);
  const Vector before = widened(total), pre_before = widened(pre);
  GemmArgs<S> args;
  args.m = m, args.n = n, args.k = k;
  args.a = transpose_a ? Matrix<const S>{a.data(), 1, m} : Matrix<const S>{a.data(), k, 1};
  args.b = transpose_b ? Matrix<const S>{b.data(), 1, k} : Matrix<const S>{b.data(), n, 1};
  args.out = {out.data(), n, 1};
  args.epilogue = epilogue;
  args.activation = kind;
  args.bias = bias.data();
  args.pre = {pre.data(), n, 1};
  args.activated = {activated.data(), n, 1};
  if (gated) args.up = {up.data(), n, 1}, args.gradient_up = {gradient_up.data(), n, 1};
  kernels.gemm(args, {total.data(), n, 1}, any_order);
  Vector expected(m * n), expected_pre = pre_before, expected_activated(m * n), expected_up(m * n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l) sum += value(*args.a.at(i, l)) * value(*args.b.at(l, j));
      const int64_t at = i * n + j;
      const double factor = gated ? value(up[at]) : 1;
      switch (epilogue) {
        case Epilogue::store: expected[at] = sum; break;
        case Epilogue::accumulate: expected[at] = before[at] + sum; break;
        case Epilogue::bias: expected[at] = sum + value(bias[j]); break;
        case Epilogue::bias_activation:
          expected_pre[at] = sum + value(bias[j]);
          expected[at] = activation_value(kind, expected_pre[at]) * factor;
          break;
        case Epilogue::gradient:
          expected[at] = sum * activation_slope(kind, pre_before[at]) * factor;
          expected_activated[at] = activation_value(kind, pre_before[at]) * factor;
          expected_up[at] = sum * activation_value(kind, pre_before[at]);
          break;
      }
    }
  const std::string what = std::string(type_name<S>()) + " product " + std::to_string(m) + "x" + std::to_string(n) +
                           "x" + std::to_string(k) + " epilogue " + std::to_string(int(epilogue)) + " activation " +
                           std::to_string(int(kind)) + (gated ? " gated" : "");
  if (epilogue == Epilogue::accumulate) return check_close(total, expected, tolerance<T>(), what);
  // the numerical derivative is good to about 1e-9
  const double allowed = std::max(tolerance<S>(), epilogue == Epilogue::gradient ? 1e-9 : 0.0);
  check_close(out, expected, allowed, what);
  if (epilogue == Epilogue::bias_activation) check_close(pre, expected_pre, allowed, what + " pre");
  if (epilogue == Epilogue::gradient) check_close(activated, expected_activated, allowed, what + " activated");
  if (epilogue == Epilogue::gradient && gated) check_close(gradient_up, expected_up, allowed, what + " gradient of up");
}

template <class S>
void test_products(const Kernels<S>& kernels) {
  const int64_t shapes[][3] = {{1, 1, 1},    {3, 2, 5},    {12, 32, 64}, {13, 33, 65},   {5, 70, 0},
                               {150, 40, 9}, {31, 9, 300}, {2, 800, 17}, {30, 50, 1100}, {170, 790, 530}};
  for (const auto& s : shapes)
    for (bool ta : {false, true})
      for (bool tb : {false, true}) {
        if (s[0] * s[1] * s[2] > 1000000 && ta != tb) continue;  // the large ones twice, not four times
        test_product<S>(kernels, s[0], s[1], s[2], ta, tb, Epilogue::store, Activation::relu);
        test_product<S>(kernels, s[0], s[1], s[2], ta, tb, Epilogue::accumulate, Activation::relu);
      }
  for (int kind = 0; kind < 4; ++kind)
    for (Epilogue epilogue : {Epilogue::bias, Epilogue::bias_activation, Epilogue::gradient})
      for (int64_t k : {0, 7, 129, 300})
        for (bool gated : {false, true}) {
          if (gated && epilogue == Epilogue::bias) continue;
          test_product<S>(kernels, 29, 45, k, false, true, epilogue, Activation(kind), gated);
        }
  // few rows: dot products, where both operands lie along k; with one column only short ones, for what is allowed is a
  // share of the largest result, which of a few long sums may be small beside their terms
  for (int64_t m : {1, 2, 3, 4, 5})
    for (int64_t n : {1, 6, 19, 300})
      for (int64_t k : {int64_t(0), int64_t(1), int64_t(9), n > 1 ? int64_t(260) : int64_t(37)})
        for (Epilogue epilogue : {Epilogue::store, Epilogue::bias, Epilogue::bias_activation, Epilogue::gradient})
          test_product<S>(kernels, m, n, k, false, true, epilogue, Activation::gelu, epilogue > Epilogue::bias);
  // more rows, sums of more than a step of dot products and odd ones; then the same rows packed, in parts of a tile
  for (int64_t m : {8, 14, 17, 32, 63})
    for (int64_t k : {1025, 2071})
      for (Epilogue epilogue : {Epilogue::store, Epilogue::gradient})
        test_product<S>(kernels, m, 37, k, false, true, epilogue, Activation::gelu, epilogue == Epilogue::gradient);
  for (int64_t m = 1; m <= 25; ++m) test_product<S>(kernels, m, 37, 290, true, true, Epilogue::store, Activation::relu);
  // sums of bf16 that are kept beside between the steps of k, and then finished
  test_product<S>(kernels, 29, 45, 1100, false, true, Epilogue::bias_activation, Activation::silu, true);
}

template <class S>
void test_rows(const Kernels<S>& kernels, int64_t rows, int64_t columns) {
  using T = Compute<S>;
  const std::string what =
      std::string(type_name<S>()) + " " + std::to_string(rows) + "x" + std::to_string(columns) + " ";
  const auto g = random_values<S>(rows * columns, 13);
  std::vector<T> total(columns);
  kernels.column_sum({rows, columns, {g.data(), columns, 1}, total.data(), false}, any_order);
  Vector e_total(columns);
  for (int64_t i = 0; i < rows * columns; ++i) e_total[i % columns] += value(g[i]);
  check_close(total, e_total, 2 * tolerance<T>(), what + "column sum");

  auto logits = random_values<S>(rows * columns, 15, 4.0);
  const Vector before = widened(logits);
  std::vector<int64_t> target(rows);
  std::vector<T> scale(rows), loss(rows);
  for (int64_t i = 0; i < rows; ++i)
    target[i] = i % 3 == 1 ? -100 : (7 * i) % columns, scale[i] = T(0.5 + double(i % 4));
  kernels.cross_entropy({rows, columns, logits.data(), target.data(), -100, scale.data(), loss.data()}, any_order);
  Vector e_loss(rows), e_gradient(rows * columns);
  for (int64_t i = 0; i < rows; ++i) {
    if (target[i] < 0) continue;
    double top = -1e300, z = 0;
    for (int64_t j = 0; j < columns; ++j) top = std::max(top, before[i * columns + j]);
    for (int64_t j = 0; j < columns; ++j) z += std::exp(before[i * columns + j] - top);
    e_loss[i] = top + std::log(z) - before[i * columns + target[i]];
    for (int64_t j = 0; j < columns; ++j)
      e_gradient[i * columns + j] = (std::exp(before[i * columns + j] - top) / z - (j == target[i])) * double(scale[i]);
  }
  check_close(loss, e_loss, tolerance<T>(), what + "cross-entropy");
  check_close(logits, e_gradient, tolerance<S>(), what + "cross-entropy gradient");
}

template <class S>
void test_activations(const Kernels<S>& kernels) {
  std::vector<S> x;
  for (double at = -30; at < 30; at += 0.037) x.push_back(stored<S>(at));
  for (int kind = 0; kind < 4; ++kind) {
    std::vector<S> activated(x.size()), out(x.size()), ones(x.size(), stored<S>(1));
    kernels.activation({int64_t(x.size()), Activation(kind), x.data(), ones.data(), activated.data(), out.data()},
                       any_order);
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double at = value(x[i]), expected = activation_value(Activation(kind), at);
      const double slope_off = std::fabs(value(out[i]) - activation_slope(Activation(kind), at));
      worst = std::max(worst, std::fabs(value(activated[i]) - expected) / std::max(1.0, std::fabs(expected)));
      worst = std::max(worst, at == 0 ? 0 : slope_off);
    }
    check(worst <= std::max(1e-8, 2 * tolerance<S>()),
          std::string(type_name<S>()) + " activation " + std::to_string(kind) + " off by " + std::to_string(worst));

    // gated: against the values just checked, by their own products
    const auto up = random_values<S>(x.size(), 21), gradient = random_values<S>(x.size(), 22);
    std::vector<S> gated(x.size()), gated_again(x.size()), gradient_pre(x.size()), gradient_up(x.size());
    const int64_t count = int64_t(x.size());
    kernels.activation({count, Activation(kind), x.data(), nullptr, gated.data(), nullptr, up.data()}, any_order);
    kernels.activation({count, Activation(kind), x.data(), gradient.data(), gated_again.data(), gradient_pre.data(),
                        up.data(), gradient_up.data()},
                       any_order);
    Vector e_gated(x.size()), e_pre(x.size()), e_up(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      e_gated[i] = value(activated[i]) * value(up[i]);
      e_pre[i] = value(gradient[i]) * value(out[i]) * value(up[i]);
      e_up[i] = value(gradient[i]) * value(activated[i]);
    }
    const std::string what = std::string(type_name<S>()) + " gated activation " + std::to_string(kind);
    check_close(gated, e_gated, 2 * tolerance<S>(), what);
    check_close(gated_again, e_gated, 2 * tolerance<S>(), what + " in the backward");
    check_close(gradient_pre, e_pre, 2 * tolerance<S>(), what + " gradient");
    check_close(gradient_up, e_up, 2 * tolerance<S>(), what + " gradient of up");
  }
}

}  // namespace

void test_rows_and_products(const KernelTable& table) {
  test_products(table.f64);
  test_products(table.f32);
  if (table.bf.gemm) test_products(table.bf);
  const auto of_type = [](const auto& kernels) {
    for (int64_t rows : {1, 5, 70})
      for (int64_t columns : {1, 2, 15, 16, 33, 300}) test_rows(kernels, rows, columns);
    test_activations(kernels);
  };
  of_type(table.f64);
  of_type(table.f32);
  of_type(table.bf);
}

}  // namespace laim::test
