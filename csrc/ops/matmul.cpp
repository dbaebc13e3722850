#include "ops/matmul.h"

#include <array>
#include <type_traits>

namespace laim::LAIM_ON {
namespace {

template <class S>
Matrix<const S> view(const Operand& operand) {
  const Matrix<const S> stored = {data_of<S>(operand.tensor), operand.columns, 1};
  return operand.transpose ? Matrix<const S>{stored.data, 1, stored.row_stride} : stored;
}

// What stock's matmul takes: a 2-d tensor, transposed as a view.
Tensor stock_view(const Operand& operand) {
  const Tensor flat = torch::stable::view(operand.tensor, Shape{operand.rows, operand.columns});
  return operand.transpose ? torch::stable::transpose(flat, 0, 1) : flat;
}

Tensor stock_matmul(const Operand& a, const Operand& b, const OptionalTensor& bias) {
  if (!bias) return torch::stable::matmul(stock_view(a), stock_view(b));
  const auto value = [](const auto& argument) { return torch::stable::detail::from(argument); };
  std::array<StableIValue, 3> stack = {value(stock_view(a)), value(stock_view(b.t())), value(bias)};
  STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::linear", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}

template <class S>
GemmArgs<S> operands(const Operand& a, const Operand& b) {
  GemmArgs<S> args;
  args.m = a.m();
  args.n = b.n();
  args.k = a.n();
  args.a = view<S>(a);
  args.b = view<S>(b);
  args.out = {};
  return args;
}

template <class S>
GemmArgs<S> arguments(const Operand& a, const Operand& b, S* out) {
  GemmArgs<S> args = operands<S>(a, b);
  args.out = {out, b.n(), 1};
  return args;
}

template <class S>
void run(const Device& on, const Operand& a, const Operand& b, const OptionalTensor& bias, S* out) {
  GemmArgs<S> args = arguments<S>(a, b, out);
  if (bias) args.epilogue = Epilogue::bias, args.bias = data_of<S>(*bias);
  on.gemm<S>(args, {});
}

}  // namespace

Operand rows_operand(const Tensor& tensor) { return {tensor, rows_of(tensor), tensor.size(tensor.dim() - 1)}; }

Tensor matmul(const Device& on, const Operand& a, const Operand& b, const OptionalTensor& bias) {
  return Device::with_storage_type(a.tensor, [&](auto storage) {
    using S = decltype(storage);
    if (!Device::own_product<S>()) return stock_matmul(a, b, bias);
    const Tensor out = empty_of<S>(on, {a.m(), b.n()});
    run(on, a, b, bias, out_of<S>(out));
    return out;
  });
}

void matmul_into(const Device& on, const Operand& a, const Operand& b, const OptionalTensor& bias, const Tensor& out) {
  Device::with_storage_type(a.tensor, [&](auto storage) {
    using S = decltype(storage);
    Tensor into = out;
    if (Device::own_product<S>())
      run(on, a, b, bias, out_of<S>(out));
    else
      torch::stable::copy_(into, stock_matmul(a, b, bias));
  });
}

void matmul_accumulate(const Device& on, const Operand& a, const Operand& b, const Tensor& total) {
  Device::with_storage_type(a.tensor, [&](auto storage) {
    using S = decltype(storage);
    if (!Device::own_product<S>()) {
      const Tensor part = stock_matmul(a, b, std::nullopt);
      // One row of all elements: the sum over rows of a single row is that row, added in the compute type.
      column_sum_into(on, {part, 1, part.numel()}, total, true);
    } else {
      GemmArgs<S> args = operands<S>(a, b);
      args.epilogue = Epilogue::accumulate;
      on.gemm(args, {out_of<Compute<S>>(total), b.n(), 1});
    }
  });
}

Tensor matmul_sum(const Device& on, const Operand& a, const Operand& b, const Operand& c, const Operand& d) {
  const Tensor first = matmul(on, a, b);
  return Device::with_storage_type(a.tensor, [&](auto storage) {
    using S = decltype(storage);
    constexpr bool narrow = !std::is_same_v<S, Compute<S>>;
    const Tensor total = narrow ? torch::stable::to(first, scalar_type<Compute<S>>()) : first;
    matmul_accumulate(on, c, d, total);
    return narrow ? torch::stable::to(total, scalar_type<S>()) : total;
  });
}

Activated matmul_activation(const Device& on, const Operand& a, const Operand& b, const OptionalTensor& bias,
                            Activation activation, bool keep_pre, const OptionalTensor& up) {
  return Device::with_storage_type(a.tensor, [&](auto storage) -> Activated {
    using S = decltype(storage);
    const Shape shape = {a.m(), b.n()};
    const Tensor value = empty_of<S>(on, shape);
    if (!Device::own_product<S>()) {
      const Tensor pre = stock_matmul(a, b, bias);
      on.activation<S>({pre.numel(), activation, data_of<S>(pre), nullptr, out_of<S>(value), nullptr, data_of<S>(up)});
      return {keep_pre ? pre : empty_of<S>(on, {0}), value};
    } else {
      const Tensor pre = empty_of<S>(on, keep_pre ? shape : Shape{0});
      GemmArgs<S> args = arguments<S>(a, b, out_of<S>(value));
      args.epilogue = Epilogue::bias_activation;
      args.activation = activation;
      args.bias = data_of<S>(bias);
      if (keep_pre) args.pre = {out_of<S>(pre), b.n(), 1};
      if (up) args.up = {data_of<S>(up), b.n(), 1};
      on.gemm<S>(args, {});
      return {pre, value};
    }
  });
}

ActivationGradient matmul_activation_gradient(const Device& on, const Operand& a, const Operand& b, const Tensor& pre,
                                              Activation activation, const OptionalTensor& up) {
  return Device::with_storage_type(a.tensor, [&](auto storage) -> ActivationGradient {
    using S = decltype(storage);
    const Shape shape = {a.m(), b.n()};
    const ActivationGradient made = {empty_of<S>(on, shape), empty_of<S>(on, shape),
                                     empty_of<S>(on, up ? shape : Shape{0})};
    S* gradient_up = up ? out_of<S>(made.gradient_up) : nullptr;
    if (!Device::own_product<S>()) {
      const Tensor product = stock_matmul(a, b, std::nullopt);
      on.activation<S>({pre.numel(), activation, data_of<S>(pre), data_of<S>(product), out_of<S>(made.activated),
                        out_of<S>(made.gradient), data_of<S>(up), gradient_up});
    } else {
      GemmArgs<S> args = arguments<S>(a, b, out_of<S>(made.gradient));
      args.epilogue = Epilogue::gradient;
      args.activation = activation;
      args.pre = {out_of<S>(pre), b.n(), 1};
      args.activated = {out_of<S>(made.activated), b.n(), 1};
      if (up) args.up = {data_of<S>(up), b.n(), 1}, args.gradient_up = {gradient_up, b.n(), 1};
      on.gemm<S>(args, {});
    }
    return made;
  });
}

void column_sum_into(const Device& on, const Operand& in, const Tensor& total, bool accumulate) {
  Device::with_storage_type(in.tensor, [&](auto storage) {
    using S = decltype(storage);
    const ColumnSumArgs<S> args = {in.rows, in.columns, view<S>(in), out_of<Compute<S>>(total), accumulate};
    on.column_sum(args);
  });
}

Tensor column_sum(const Device& on, const Operand& in) {
  return Device::with_storage_type(in.tensor, [&](auto storage) {
    using S = decltype(storage);
    const Tensor total = empty_of<Compute<S>>(on, {in.columns});
    column_sum_into(on, in, total, false);
    return std::is_same_v<S, Compute<S>> ? total : torch::stable::to(total, scalar_type<S>());
  });
}

}  // namespace laim::LAIM_ON
