// A product with its epilogue, by whichever kernel, against plain loops in double.
#pragma once
#include "tests/cuda/device.h"
#include "tests/plain_activation.h"

namespace laim::test {

struct ProductCase {
  int64_t m, n, k;
  bool left_by_rows, right_by_rows;
  Epilogue epilogue;
  Activation activation = Activation::relu;
  bool gated = false;
  int64_t padding = 0;  // elements between rows; n + padding odd: not even pairs are aligned
};

// run_product(case, what, args, total) runs a kernel and returns whether it came to its end.
template <class S, class RunProduct>
void test_product_with(const RunProduct& run_product, const ProductCase& c) {
  const int64_t m = c.m, n = c.n, k = c.k;
  const int64_t left_stride = (c.left_by_rows ? k : m) + c.padding,
                right_stride = (c.right_by_rows ? n : k) + c.padding;
  const int64_t stride = n + c.padding;
  const std::string what = std::string(name_of<S>) + " product " + std::to_string(m) + "x" + std::to_string(n) + "x" +
                           std::to_string(k) + (c.left_by_rows ? " rows" : " columns") +
                           (c.right_by_rows ? " rows" : " columns") + " epilogue " + std::to_string(int(c.epilogue)) +
                           " activation " + std::to_string(int(c.activation)) + (c.gated ? " gated" : "") +
                           " padding " + std::to_string(c.padding);
  Device<S> a("a", random_values<S>((c.left_by_rows ? m : k) * left_stride, 1)),
      b("b", random_values<S>((c.right_by_rows ? k : n) * right_stride, 2)), bias("bias", random_values<S>(n, 3)),
      pre_in("pre", random_values<S>(m * stride, 5)), up("up", random_values<S>(m * stride, 6)), out("out", m * stride),
      pre_out("pre", m * stride), activated("activated", m * stride), gradient_up("gradient_up", m * stride);
  Device<float> total("total", random_values<float>(m * stride, 4));
  const auto total_before = total.values();

  GemmArgs<S> args;
  args.m = m, args.n = n, args.k = k;
  args.a = c.left_by_rows ? Matrix<const S>{a.data(), left_stride, 1} : Matrix<const S>{a.data(), 1, left_stride};
  args.b = c.right_by_rows ? Matrix<const S>{b.data(), right_stride, 1} : Matrix<const S>{b.data(), 1, right_stride};
  args.out = {out.data(), stride, 1};
  args.epilogue = c.epilogue;
  args.activation = c.activation;
  args.bias = bias.data();
  args.pre = {(c.epilogue == Epilogue::gradient ? pre_in : pre_out).data(), stride, 1};
  args.activated = {activated.data(), stride, 1};
  if (c.gated) args.up = {up.data(), stride, 1}, args.gradient_up = {gradient_up.data(), stride, 1};
  if (!run_product(c, what, args, Matrix<float>{total.data(), stride, 1})) return;

  const auto av = a.values(), bv = b.values(), biasv = bias.values(), prev = pre_in.values(), upv = up.values();
  std::vector<double> e_out(m * n), e_pre(m * n), e_activated(m * n), e_up(m * n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double product = 0;
      for (int64_t l = 0; l < k; ++l)
        product += value(av[c.left_by_rows ? i * left_stride + l : l * left_stride + i]) *
                   value(bv[c.right_by_rows ? l * right_stride + j : j * right_stride + l]);
      const int64_t at = i * n + j, in = i * stride + j;
      const double factor = c.gated ? value(upv[in]) : 1, x = value(prev[in]);
      switch (c.epilogue) {
        case Epilogue::store: e_out[at] = product; break;
        case Epilogue::accumulate: e_out[at] = total_before[in] + product; break;
        case Epilogue::bias: e_out[at] = product + value(biasv[j]); break;
        case Epilogue::bias_activation:
          e_pre[at] = product + value(biasv[j]);
          e_out[at] = activation_value(c.activation, e_pre[at]) * factor;
          break;
        case Epilogue::gradient:
          e_out[at] = product * activation_slope(c.activation, x) * factor;
          e_activated[at] = activation_value(c.activation, x) * factor;
          e_up[at] = product * activation_value(c.activation, x);
          break;
      }
    }
  const auto compact = [&](const auto& padded) {
    std::remove_const_t<std::remove_reference_t<decltype(padded)>> out;
    for (int64_t i = 0; i < m; ++i) out.insert(out.end(), &padded[i * stride], &padded[i * stride] + n);
    return out;
  };
  const double allowed = tolerance<S>();
  if (c.epilogue == Epilogue::accumulate) return check_close(compact(total.values()), e_out, 2e-6, what);
  check_close(compact(out.values()), e_out, allowed, what);
  if (c.epilogue == Epilogue::bias_activation) check_close(compact(pre_out.values()), e_pre, allowed, what + " pre");
  if (c.epilogue != Epilogue::gradient) return;
  check_close(compact(activated.values()), e_activated, allowed, what + " activated");
  if (c.gated) check_close(compact(gradient_up.values()), e_up, allowed, what + " gradient of up");
}

}  // namespace laim::test
