"""Layer norm, with the residual addition that precedes it in a pre-norm block fused in."""

import torch
from torch import Tensor

from laimbench.ops import _autocast, _checks, _extension  # noqa: F401  (_extension registers the kernels)

_ops = torch.ops.laimbench


def layer_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None = None, *, eps: float = 1e-5, residual: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Return (x - mean) / sqrt(variance + eps) * weight + bias over the last dimension.

    Args:
        x: (..., C), any strides, float64, float32 or bfloat16.
        weight, bias: (C,) or None.
        eps: added to the (biased) variance.
        residual: (..., C) like x. When given, x + residual is normalised and ``(norm, x + residual)`` is returned.

    Under autocast the norm runs in autocast's dtype where x has it, with statistics in float32; weight and bias follow x.

    Raises:
        TypeError, ValueError: naming the argument, what it was and what was expected.

    Source: Ba et al. 2016 (arXiv:1607.06450), eq. 3-4.
    """
    if torch.is_autocast_enabled("cpu"):
        x, weight, bias, residual = _follow(x, weight, bias, residual)
    _checks.floating("x", x)
    _checks.same_dtype("x", x, weight=weight, bias=bias, residual=residual)
    _checks.at_least_one_dimension("x", x, "(..., C)")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None:
            _checks.shape(name, value, (x.shape[-1],), "(C,)")
    if residual is not None:
        _checks.shape("residual", residual, tuple(x.shape), "(..., C) as x has")
    eps = _checks.number("eps", eps, positive=True)
    out, total, _, _ = _ops.layer_norm(x, weight, bias, eps, residual)
    return out if residual is None else (out, total)


def _follow(x: Tensor, weight: Tensor | None, bias: Tensor | None, residual: Tensor | None):
    """Bring all to the wider of x's and the residual's dtype: a residual stream in float32 stays in float32."""
    dtype = x.dtype if residual is None else torch.promote_types(x.dtype, residual.dtype)
    return tuple(None if value is None else value.to(dtype) for value in (x, weight, bias, residual))


def _statistics(x: Tensor) -> Tensor:
    return x.new_empty(x.shape[:-1].numel(), dtype=torch.float64 if x.dtype == torch.float64 else torch.float32)


@torch.library.register_fake("laimbench::layer_norm")
def _(x, weight, bias, eps, residual):
    total = x.new_empty(x.shape if residual is not None else 0)
    return x.new_empty(x.shape), total, _statistics(x), _statistics(x)


@torch.library.register_fake("laimbench::layer_norm_backward")
def _(gradient, gradient_sum, total, weight, mean, rstd, need_b):
    columns = total.shape[-1]
    return (
        total.new_empty(total.shape),
        total.new_empty(columns if weight is not None else 0),
        total.new_empty(columns if need_b else 0),
    )


def _setup_context(ctx, inputs, output):
    x, weight, bias, _eps, residual = inputs
    _, total, mean, rstd = output
    ctx.has_residual, ctx.has_bias = residual is not None, bias is not None
    ctx.save_for_backward(total if ctx.has_residual else x, weight, mean, rstd)
    ctx.mark_non_differentiable(mean, rstd)
    ctx.set_materialize_grads(False)


def _backward(ctx, gradient, gradient_sum, _gradient_mean, _gradient_rstd):
    total, weight, mean, rstd = ctx.saved_tensors
    if not ctx.has_residual:
        gradient_sum = None
    if gradient is None:
        return gradient_sum, None, None, None, gradient_sum
    dx, dw, db = _ops.layer_norm_backward(gradient, gradient_sum, total, weight, mean, rstd, ctx.has_bias)
    return dx, None if weight is None else dw, db if ctx.has_bias else None, None, dx if ctx.has_residual else None


torch.library.register_autograd("laimbench::layer_norm", _backward, setup_context=_setup_context)
