// Cross-entropy with its gradient in place, and sums over rows, under the shim, against plain loops in double.
#include "cuda/sm80/cross_entropy.cuh"

#include "tests/cuda/device.h"

namespace laim::test {
namespace {

using namespace laim::cuda;

template <class S>
void test_cross_entropy(int64_t rows, int64_t columns, bool with_gradient) {
  const std::string what = std::string(name_of<S>) + " cross-entropy " + std::to_string(rows) + "x" +
                           std::to_string(columns) + (with_gradient ? " with gradient" : "");
  const auto before = random_values<S>(rows * columns, 15, 4.0);
  std::vector<int64_t> targets(rows);
  std::vector<float> scales(rows);
  for (int64_t i = 0; i < rows; ++i)
    targets[i] = i % 3 == 1 ? -100 : (7 * i + columns - 1) % columns, scales[i] = 0.5f + float(i % 4);
  Device<S> logits("logits", before);
  Device<int64_t> target("target", targets);
  Device<float> scale("scale", scales), loss("loss", rows);
  const CrossEntropyArgs<S> args = {
      rows, columns, logits.data(), target.data(), -100, with_gradient ? scale.data() : nullptr, loss.data()};
  if (!run(cross_entropy_launch(args), what, cross_entropy_kernel<S>, args, columns % row_step<S> == 0)) return;
  std::vector<double> e_loss(rows), e_logits(rows * columns);
  for (int64_t i = 0; i < rows; ++i) {
    double top = -1e300, z = 0;
    for (int64_t j = 0; j < columns; ++j) top = std::max(top, value(before[i * columns + j]));
    for (int64_t j = 0; j < columns; ++j) z += std::exp(value(before[i * columns + j]) - top);
    if (targets[i] >= 0) e_loss[i] = top + std::log(z) - value(before[i * columns + targets[i]]);
    for (int64_t j = 0; j < columns; ++j) {
      const double x = value(before[i * columns + j]);
      const double slope = targets[i] < 0 ? 0 : (std::exp(x - top) / z - (j == targets[i])) * double(scales[i]);
      e_logits[i * columns + j] = with_gradient ? slope : x;
    }
  }
  check_close(loss.values(), e_loss, 4e-6, what);
  check_close(logits.values(), e_logits, tolerance<S>(), what + " logits");
}

// A target outside the row, not to be ignored: NaN in its loss and its gradient, and the other rows as if alone.
template <class S>
void test_target_outside(int64_t columns) {
  const std::string what = std::string(name_of<S>) + " cross-entropy, targets outside " + std::to_string(columns);
  const std::vector<int64_t> targets = {-1, 0, columns, -100, INT64_MIN, INT64_MAX};
  const int64_t rows = int64_t(targets.size());
  Device<S> logits("logits", random_values<S>(rows * columns, 18));
  Device<int64_t> target("target", targets);
  Device<float> scale("scale", std::vector<float>(rows, 1.0f)), loss("loss", rows);
  const CrossEntropyArgs<S> args = {rows, columns, logits.data(), target.data(), -100, scale.data(), loss.data()};
  if (!run(cross_entropy_launch(args), what, cross_entropy_kernel<S>, args, columns % row_step<S> == 0)) return;
  const auto losses = loss.values();
  const auto gradients = logits.values();
  for (int64_t i = 0; i < rows; ++i) {
    const bool outside = targets[i] != 0 && targets[i] != -100;
    if (std::isnan(losses[i]) != outside)
      return check(false, what + ": loss of row " + std::to_string(i) + " is " + std::to_string(losses[i]));
    for (int64_t j = 0; j < columns; ++j)
      if (std::isnan(value(gradients[i * columns + j])) != outside)
        return check(false, what + ": gradient of row " + std::to_string(i) + " is " +
                                std::to_string(value(gradients[i * columns + j])) + " in column " + std::to_string(j));
  }
}

template <class S>
void test_column_sum(int64_t rows, int64_t columns, bool accumulate) {
  const std::string what =
      std::string(name_of<S>) + " column sum " + std::to_string(rows) + "x" + std::to_string(columns);
  const auto values = random_values<S>(rows * columns, 16);
  const auto before = random_values<float>(columns, 17);
  Device<S> in("in", values);
  Device<float> fresh("out", columns), given("out", before);
  Device<float>& out = accumulate ? given : fresh;
  const ColumnSumArgs<S> args = {rows, columns, {in.data(), columns, 1}, out.data(), accumulate};
  if (!run(column_sum_launch(args), what, column_sum_kernel<S>, args)) return;
  std::vector<double> expected(columns);
  for (int64_t j = 0; j < columns; ++j) expected[j] = accumulate ? before[j] : 0;
  for (int64_t i = 0; i < rows * columns; ++i) expected[i % columns] += value(values[i]);
  check_close(out.values(), expected, 4e-6, what);
}

}  // namespace
}  // namespace laim::test

int main() {
  using namespace laim::test;
  for (int64_t columns : {1, 8, 33, 300, 2056, 4104})
    for (bool with_gradient : {false, true}) test_cross_entropy<laim::bf16>(4, columns, with_gradient);
  test_cross_entropy<laim::fp16>(2, 40, true);
  for (int64_t columns : {1, 33, 1036}) test_cross_entropy<float>(4, columns, columns != 1);
  test_target_outside<laim::bf16>(40);
  test_target_outside<laim::fp16>(9);
  test_target_outside<float>(9);
  for (int64_t rows : {0, 1, 7, 70})
    for (int64_t columns : {1, 32, 45}) test_column_sum<laim::bf16>(rows, columns, columns == 45);
  test_column_sum<float>(70, 45, true);
  return summary();
}
