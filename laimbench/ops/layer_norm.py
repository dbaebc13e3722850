"""Layer norm, with the residual addition that precedes it in a pre-norm block fused in."""

import math

import torch
from torch import Tensor

from laimbench.ops import _autocast, _checks, _extension  # noqa: F401  (_extension registers the kernels)
from laimbench.ops._autograd import differentiable

_ops = torch.ops.laimbench


def layer_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None = None, *, eps: float = 1e-5, residual: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Return (x - mean) / sqrt(variance + eps) * weight + bias over the last dimension.

    Args:
        x: (..., C), any strides, float64, float32 or bfloat16; on CUDA float32, bfloat16 or float16.
        weight, bias: (C,) or None.
        eps: added to the (biased) variance.
        residual: (..., C) like x. When given, x + residual is normalised and ``(norm, x + residual)`` is returned.

    Under autocast the norm runs in autocast's dtype where x has it, with statistics in float32; weight and bias follow x.

    Raises:
        TypeError, ValueError: naming the argument, what it was and what was expected.

    Source: Ba et al. 2016 (arXiv:1607.06450), eq. 3-4.
    """
    x, residual, (weight, bias), eps = check_norm(x, residual, {"weight": weight, "bias": bias}, eps)
    out, total = _layer_norm(x, weight, bias, eps, residual)
    return out if residual is None else (out, total)


def check_norm(x: Tensor, residual: Tensor | None, vectors: dict[str, Tensor | None], eps: float):
    """Check a norm's x and residual (..., C), its vectors (C,) by name, and eps; return all, cast where autocast is active.

    Autocast brings all to the wider of x's and the residual's dtype: a residual stream in float32 stays in float32.
    """
    _checks.floating("x", x)
    if _autocast.dtype_for(x) is not None:
        for name, value in (("residual", residual), *vectors.items()):
            if value is not None:
                _checks.floating(name, value)
        dtype = x.dtype if residual is None else torch.promote_types(x.dtype, residual.dtype)
        x, residual = x.to(dtype), None if residual is None else residual.to(dtype)
        vectors = {name: None if value is None else value.to(dtype) for name, value in vectors.items()}
    _checks.same_dtype("x", x, residual=residual, **vectors)
    _checks.at_least_one_dimension("x", x, "(..., C)")
    for name, value in vectors.items():
        if value is not None:
            _checks.shape(name, value, (x.shape[-1],), "(C,)")
    if residual is not None:
        _checks.shape("residual", residual, tuple(x.shape), "(..., C) as x has")
    return x, residual, tuple(vectors.values()), _checks.number("eps", eps, positive=True)


def fake_norm(x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a norm's kernel returns without its values: out, x + residual, one statistic per row."""
    statistic = x.new_empty(math.prod(x.shape[:-1]), dtype=torch.float64 if x.dtype == torch.float64 else torch.float32)
    return x.new_empty(x.shape), x.new_empty(x.shape if residual is not None else 0), statistic


@torch.library.register_fake("laimbench::layer_norm")
def _(x, weight, bias, eps, residual):
    out, total, mean = fake_norm(x, residual)
    return out, total, mean, torch.empty_like(mean)


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


_layer_norm = differentiable("layer_norm", _backward, _setup_context, results=2)
