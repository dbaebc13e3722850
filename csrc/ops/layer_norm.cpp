#include "ops/ops.h"

namespace laim {

std::tuple<Tensor, Tensor, Tensor, Tensor> layer_norm(Tensor x, OptionalTensor weight, OptionalTensor bias, double eps,
                                                      OptionalTensor residual) {
  x = packed(x), weight = packed(weight), bias = packed(bias), residual = packed(residual);
  return with_storage_type(x, [&](auto storage) -> std::tuple<Tensor, Tensor, Tensor, Tensor> {
    using S = decltype(storage);
    const int64_t rows = rows_of(x), columns = x.size(x.dim() - 1);
    require((!weight || weight->numel() == columns) && (!bias || bias->numel() == columns) &&
                (!residual || residual->numel() == x.numel()),
            "laimbench::layer_norm: shapes do not fit");
    const Tensor out = empty_of<S>(shape_of(x));
    const Tensor sum = empty_of<S>(residual ? shape_of(x) : Shape{0});
    const Tensor mean = empty_of<Compute<S>>({rows}), rstd = empty_of<Compute<S>>({rows});
    kernels<S>().layer_norm({rows, columns, data_of<S>(x), data_of<S>(residual), data_of<S>(weight), data_of<S>(bias),
                             eps, out_of<S>(out), out_of<S>(sum), out_of<Compute<S>>(mean), out_of<Compute<S>>(rstd)},
                            torch_threads());
    return {out, sum, mean, rstd};
  });
}

std::tuple<Tensor, Tensor, Tensor> layer_norm_backward(Tensor gradient, OptionalTensor gradient_sum, Tensor sum,
                                                       OptionalTensor weight, Tensor mean, Tensor rstd, bool need_b) {
  gradient = packed(gradient), gradient_sum = packed(gradient_sum), sum = packed(sum);
  weight = packed(weight);
  return with_storage_type(sum, [&](auto storage) -> std::tuple<Tensor, Tensor, Tensor> {
    using S = decltype(storage);
    const int64_t rows = rows_of(sum), columns = sum.size(sum.dim() - 1);
    const Tensor gradient_x = empty_of<S>(shape_of(sum));
    const Tensor gradient_weight = empty_of<S>({weight ? columns : 0}),
                 gradient_bias = empty_of<S>({need_b ? columns : 0});
    kernels<S>().layer_norm_backward(
        {rows, columns, data_of<S>(gradient), data_of<S>(gradient_sum), data_of<S>(sum), data_of<S>(weight),
         data_of<Compute<S>>(mean), data_of<Compute<S>>(rstd), out_of<S>(gradient_x),
         weight ? out_of<S>(gradient_weight) : nullptr, need_b ? out_of<S>(gradient_bias) : nullptr},
        torch_threads());
    return {gradient_x, gradient_weight, gradient_bias};
  });
}

}  // namespace laim
