#include "ops/device.h"
#include "ops/ops.h"

namespace laim::LAIM_ON {
namespace {

struct Norm {
  Tensor out, sum, mean, rstd;  // sum is empty without a residual, mean for RMS norm
};

Norm norm(Tensor x, OptionalTensor weight, OptionalTensor bias, double eps, OptionalTensor residual, bool centred) {
  x = packed(x), weight = packed(weight), bias = packed(bias), residual = packed(residual);
  const Device on(x);
  return Device::with_storage_type(x, [&](auto storage) -> Norm {
    using S = decltype(storage);
    using T = Compute<S>;
    const int64_t rows = rows_of(x), columns = x.size(x.dim() - 1);
    require((!weight || weight->numel() == columns) && (!bias || bias->numel() == columns) &&
                (!residual || residual->numel() == x.numel()),
            "laimbench: shapes of the norm's arguments do not fit");
    const Norm made = {empty_of<S>(on, shape_of(x)), empty_of<S>(on, residual ? shape_of(x) : Shape{0}),
                       empty_of<T>(on, {centred ? rows : 0}), empty_of<T>(on, {rows})};
    on.norm<S>({rows, columns, data_of<S>(x), data_of<S>(residual), data_of<S>(weight), data_of<S>(bias), eps,
                out_of<S>(made.out), out_of<S>(made.sum), centred ? out_of<T>(made.mean) : nullptr,
                out_of<T>(made.rstd)});
    return made;
  });
}

struct NormGradients {
  Tensor x, weight, bias;
};

NormGradients norm_backward(Tensor gradient, OptionalTensor gradient_sum, Tensor sum, OptionalTensor weight,
                            OptionalTensor mean, Tensor rstd, bool need_b) {
  gradient = packed(gradient), gradient_sum = packed(gradient_sum), sum = packed(sum), weight = packed(weight);
  mean = packed(mean), rstd = packed(rstd);
  const Device on(sum);
  return Device::with_storage_type(sum, [&](auto storage) -> NormGradients {
    using S = decltype(storage);
    using T = Compute<S>;
    const int64_t rows = rows_of(sum), columns = sum.size(sum.dim() - 1);
    require(gradient.numel() == sum.numel() && (!gradient_sum || gradient_sum->numel() == sum.numel()) &&
                (!weight || weight->numel() == columns) && (!mean || mean->numel() == rows) && rstd.numel() == rows,
            "laimbench: shapes of the norm's gradients do not fit");
    const NormGradients made = {empty_of<S>(on, shape_of(sum)), empty_of<S>(on, {weight ? columns : 0}),
                                empty_of<S>(on, {need_b ? columns : 0})};
    on.norm_backward<S>({rows, columns, data_of<S>(gradient), data_of<S>(gradient_sum), data_of<S>(sum),
                         data_of<S>(weight), data_of<T>(mean), data_of<T>(rstd), out_of<S>(made.x),
                         weight ? out_of<S>(made.weight) : nullptr, need_b ? out_of<S>(made.bias) : nullptr});
    return made;
  });
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor, Tensor> layer_norm(Tensor x, OptionalTensor weight, OptionalTensor bias, double eps,
                                                      OptionalTensor residual) {
  const Norm made = norm(x, weight, bias, eps, residual, true);
  return {made.out, made.sum, made.mean, made.rstd};
}

std::tuple<Tensor, Tensor, Tensor> layer_norm_backward(Tensor gradient, OptionalTensor gradient_sum, Tensor sum,
                                                       OptionalTensor weight, Tensor mean, Tensor rstd, bool need_b) {
  const NormGradients made = norm_backward(gradient, gradient_sum, sum, weight, mean, rstd, need_b);
  return {made.x, made.weight, made.bias};
}

std::tuple<Tensor, Tensor, Tensor> rms_norm(Tensor x, OptionalTensor weight, double eps, OptionalTensor residual) {
  const Norm made = norm(x, weight, std::nullopt, eps, residual, false);
  return {made.out, made.sum, made.rstd};
}

std::tuple<Tensor, Tensor> rms_norm_backward(Tensor gradient, OptionalTensor gradient_sum, Tensor sum,
                                             OptionalTensor weight, Tensor rstd) {
  const NormGradients made = norm_backward(gradient, gradient_sum, sum, weight, std::nullopt, rstd, false);
  return {made.x, made.weight};
}

}  // namespace laim::LAIM_ON
