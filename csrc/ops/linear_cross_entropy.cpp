// Cross-entropy of x w^T + b without the (tokens, vocabulary) logits: a chunk of tokens at a time, whose logits become
// their own gradient in place. Source: Hsu et al. 2024, Liger Kernel (chunked, gradient in the forward).
#include <algorithm>
#include <array>

#include "ops/matmul.h"
#include "ops/ops.h"

namespace laim::LAIM_ON {
namespace {

// Tokens per chunk, about equally many in each.
int64_t chunk_of(int64_t tokens, int64_t vocabulary, int64_t element_size) {
  const int64_t fitting = Device::logits_bytes / std::max<int64_t>(1, vocabulary * element_size);
  const int64_t chunks = ceil_div(tokens, std::max(fitting, Device::fewest_tokens));
  return round_up(ceil_div(tokens, std::max<int64_t>(1, chunks)), Device::token_step);
}

Tensor slice(const Tensor& tensor, int64_t begin, int64_t rows) {
  Tensor copy = tensor;
  return torch::stable::narrow(copy, 0, begin, rows);
}

void check_targets(const Tensor& target, int64_t ignore_index, int64_t vocabulary) {
  const int64_t* values = data_of<int64_t>(target);
  for (int64_t i = 0; i < target.numel(); ++i)
    require(values[i] == ignore_index || (0 <= values[i] && values[i] < vocabulary),
            "laimbench: target[" + std::to_string(i) + "] is " + std::to_string(values[i]) + ", expected 0 to " +
                std::to_string(vocabulary - 1) + " or ignore_index " + std::to_string(ignore_index));
}

template <class T>
Tensor weighted_sum(const Device& on, const Tensor& losses, const Tensor& scale) {
  if constexpr (Device::on_host) {
    double sum = 0;
    for (int64_t i = 0; i < losses.numel(); ++i) sum += double(data_of<T>(losses)[i]) * double(data_of<T>(scale)[i]);
    const Tensor out = empty_of<T>(on, {});
    *out_of<T>(out) = T(sum);
    return out;
  } else {
    const auto value = [](const Tensor& argument) { return torch::stable::detail::from(argument); };
    std::array<StableIValue, 2> stack = {value(losses), value(scale)};
    STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::dot", "", stack.data(), TORCH_ABI_VERSION));
    return torch::stable::detail::to<Tensor>(stack[0]);
  }
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor, Tensor> linear_cross_entropy(Tensor x, Tensor w, OptionalTensor b, Tensor target,
                                                                int64_t ignore_index, OptionalTensor scale,
                                                                bool with_gradients) {
  x = packed(x), w = packed(w), b = packed(b), target = packed(target), scale = packed(scale);
  const int64_t tokens = rows_of(x), channels = x.size(x.dim() - 1);
  require(w.dim() == 2, "laimbench::linear_cross_entropy: weight must have 2 dimensions");
  const int64_t vocabulary = w.size(0);
  require(w.size(1) == channels && target.numel() == tokens && target.scalar_type() == ScalarType::Long &&
              (!scale || scale->numel() == tokens) && (scale || !with_gradients),
          "laimbench::linear_cross_entropy: shapes do not fit");
  // Elsewhere the check would wait for the device: the kernel makes NaN of such a target's loss.
  if constexpr (Device::on_host) check_targets(target, ignore_index, vocabulary);
  const Device on(x);

  return Device::with_storage_type(x, [&](auto storage) -> std::tuple<Tensor, Tensor, Tensor, Tensor> {
    using S = decltype(storage);
    using T = Compute<S>;
    const Tensor losses = empty_of<T>(on, {tokens});
    const Tensor gradient_x = empty_of<S>(on, with_gradients ? shape_of(x) : Shape{0});
    Tensor total_w = empty_of<T>(on, {with_gradients ? vocabulary : 0, channels});
    Tensor total_b = empty_of<T>(on, {with_gradients && b ? vocabulary : 0});
    torch::stable::zero_(total_w), torch::stable::zero_(total_b);

    const Tensor x_TC = torch::stable::view(x, {tokens, channels});
    const Tensor gradient_TC = with_gradients ? torch::stable::view(gradient_x, {tokens, channels}) : gradient_x;
    const int64_t chunk = chunk_of(tokens, vocabulary, sizeof(S));
    for (int64_t begin = 0; begin < tokens; begin += chunk) {
      const int64_t rows = std::min(chunk, tokens - begin);
      const Operand x_rows = rows_operand(slice(x_TC, begin, rows));
      const Operand logits = rows_operand(matmul(on, x_rows, rows_operand(w).t(), b));
      on.cross_entropy<S>({rows, vocabulary, out_of<S>(logits.tensor), data_of<int64_t>(target) + begin, ignore_index,
                           with_gradients ? data_of<T>(*scale) + begin : nullptr, out_of<T>(losses) + begin});
      if (!with_gradients) continue;
      matmul_into(on, logits, rows_operand(w), std::nullopt, slice(gradient_TC, begin, rows));
      matmul_accumulate(on, logits.t(), x_rows, total_w);
      if (b) column_sum_into(on, logits, total_b, true);
    }
    const auto stored = [](const Tensor& total) {
      return scalar_type<S>() == scalar_type<T>() ? total : torch::stable::to(total, scalar_type<S>());
    };
    return {scale ? weighted_sum<T>(on, losses, *scale) : losses, gradient_x, stored(total_w), stored(total_b)};
  });
}

}  // namespace laim::LAIM_ON
