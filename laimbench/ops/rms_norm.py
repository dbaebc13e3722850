"""RMS norm, with the residual addition that precedes it in a pre-norm block fused in."""

import torch
from torch import Tensor

from laimbench.ops import _extension  # noqa: F401  (registers the kernels)
from laimbench.ops._autograd import differentiable
from laimbench.ops.layer_norm import check_norm, fake_norm

_ops = torch.ops.laimbench


def rms_norm(
    x: Tensor, weight: Tensor | None, *, eps: float = 1e-6, residual: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Return x / sqrt(mean(x²) + eps) * weight, the mean over the last dimension.

    Args:
        x: (..., C), any strides, float64, float32 or bfloat16; on CUDA float32, bfloat16 or float16.
        weight: (C,) or None.
        eps: added to the mean square.
        residual: (..., C) like x. When given, x + residual is normalised and ``(norm, x + residual)`` is returned.

    Under autocast the norm runs in the wider of x's and the residual's dtype, with statistics in float32; weight follows.

    Raises:
        TypeError, ValueError: naming the argument, what it was and what was expected.

    Source: Zhang & Sennrich 2019 (arXiv:1910.07467), eq. 4; eps as in Touvron et al. 2023, LLaMA (arXiv:2302.13971).
    """
    x, residual, (weight,), eps = check_norm(x, residual, {"weight": weight}, eps)
    out, total = _rms_norm(x, weight, eps, residual)
    return out if residual is None else (out, total)


@torch.library.register_fake("laimbench::rms_norm")
def _(x, weight, eps, residual):
    return fake_norm(x, residual)


@torch.library.register_fake("laimbench::rms_norm_backward")
def _(gradient, gradient_sum, total, weight, rstd):
    return total.new_empty(total.shape), total.new_empty(total.shape[-1] if weight is not None else 0)


def _setup_context(ctx, inputs, output):
    x, weight, _eps, residual = inputs
    _, total, rstd = output
    ctx.has_residual = residual is not None
    ctx.save_for_backward(total if ctx.has_residual else x, weight, rstd)
    ctx.mark_non_differentiable(rstd)
    ctx.set_materialize_grads(False)


def _backward(ctx, gradient, gradient_sum, _gradient_rstd):
    total, weight, rstd = ctx.saved_tensors
    if not ctx.has_residual:
        gradient_sum = None
    if gradient is None:
        return gradient_sum, None, None, gradient_sum
    dx, dw = _ops.rms_norm_backward(gradient, gradient_sum, total, weight, rstd)
    return dx, None if weight is None else dw, None, dx if ctx.has_residual else None


_rms_norm = differentiable("rms_norm", _backward, _setup_context, results=2)
