// Layer norm and RMS norm under the shim, forward and backward, against plain loops in double.
#include "cuda/sm80/norm.cuh"

#include "tests/cuda/device.h"
#include "tests/plain_norm.h"

namespace laim::test {
namespace {

template <class S, bool centred>
void test_norm(int64_t rows, int64_t columns, bool plain, double mean_at) {
  using namespace laim::cuda;
  const std::string what = std::string(name_of<S>) + (centred ? " layer norm " : " RMS norm ") + std::to_string(rows) +
                           "x" + std::to_string(columns) + (plain ? " plain" : "") + " at " + std::to_string(mean_at);
  auto values = random_values<S>(rows * columns, 11);
  for (S& each : values) each = stored<S>(value(each) + mean_at);
  const int64_t n = rows * columns;
  Device<S> x("x", values), residual("residual", random_values<S>(n, 12)),
      gradient("gradient", random_values<S>(n, 13)), weight("weight", random_values<S>(columns, 14)),
      bias("bias", random_values<S>(columns, 15)), out("out", n), sum("sum", n), dx("dx", n),
      dweight("dweight", columns), dbias("dbias", columns);
  Device<float> mean("mean", rows), rstd("rstd", rows);
  const bool by_chunks = columns % row_step<S> == 0;
  const double eps = 1e-3;

  NormArgs<S> args = {rows,        columns, x.data(),   residual.data(), weight.data(),
                      bias.data(), eps,     out.data(), sum.data(),      centred ? mean.data() : nullptr,
                      rstd.data()};
  if (plain) args.residual = args.weight = args.bias = nullptr, args.sum = nullptr;
  if (!run(norm_launch(args), what, norm_kernel<S, centred>, args, by_chunks)) return;

  NormBackwardArgs<S> back = {rows,
                              columns,
                              gradient.data(),
                              residual.data(),
                              sum.data(),
                              weight.data(),
                              centred ? mean.data() : nullptr,
                              rstd.data(),
                              dx.data(),
                              dweight.data(),
                              centred ? dbias.data() : nullptr};
  if (plain) back.gradient_sum = back.weight = nullptr, back.sum = x.data();
  const int64_t blocks = std::min<int64_t>(norm_backward_blocks(rows), 3);  // fewer blocks than rows
  Device<float> parts("parts", blocks * 2 * columns);
  Launch launch = norm_backward_launch(back);
  launch.x = uint32_t(blocks);
  if (!run(launch, what + " backward", norm_backward_kernel<S, centred>, back, blocks, parts.data(), by_chunks)) return;
  if (!run(norm_parts_launch(columns), what + " parts", norm_parts_kernel<S>, back, blocks, parts.data())) return;

  const std::vector<S> ones(columns, stored<S>(1)), zeros(n, stored<S>(0));
  const Expected e = plain ? plain_norm(centred, rows, columns, eps, values, ones, zeros, gradient.values(), zeros)
                           : plain_norm(centred, rows, columns, eps, sum.values(), weight.values(), bias.values(),
                                        gradient.values(), residual.values());
  const double allowed = 2 * tolerance<S>();
  check_close(out.values(), e.out, allowed, what);
  check_close(dx.values(), e.dx, allowed, what + " dx");
  check_close(dweight.values(), e.dweight, allowed, what + " dweight");
  if (centred) check_close(dbias.values(), e.dbias, allowed, what + " dbias");
  if (plain) return;
  const auto before = residual.values(), after = sum.values();
  for (int64_t at = 0; at < n; ++at)
    if (value(after[at]) != value(stored<S>(double(float(value(values[at])) + float(value(before[at]))))))
      return check(false, what + " sum");
}

void test_shapes() {
  for (int64_t columns : {8, 24, 33, 300, 2056})
    for (bool plain : {false, true}) {
      test_norm<bf16, true>(5, columns, plain, 0);
      test_norm<bf16, false>(5, columns, plain, 0);
    }
  test_norm<fp16, true>(2, 44, false, 30);  // what is beyond the tail would be far from the mean
  test_norm<fp16, false>(1, 40, false, 0);
  for (int64_t columns : {4, 33, 1028}) {
    test_norm<float, true>(5, columns, columns == 33, 0);
    test_norm<float, false>(5, columns, columns != 33, 0);
  }
  test_norm<float, true>(2, 45, false, 30);
}

// A constant row of a layer norm is exactly zeros.
void test_constant_row() {
  using namespace laim::cuda;
  Device<bf16> x("x", std::vector<bf16>(300, to_bf16(3.3f))), out("out", 300);
  Device<float> mean("mean", 1), rstd("rstd", 1);
  const NormArgs<bf16> args = {1,    300,        x.data(), nullptr,     nullptr,    nullptr,
                               1e-5, out.data(), nullptr,  mean.data(), rstd.data()};
  run(norm_launch(args), "constant row", norm_kernel<bf16, true>, args, false);
  for (bf16 each : out.values())
    if (value(each) != 0) return check(false, "layer norm of a constant row: not zeros");
}

}  // namespace
}  // namespace laim::test

int main() {
  laim::test::test_shapes();
  laim::test::test_constant_row();
  return laim::test::summary();
}
