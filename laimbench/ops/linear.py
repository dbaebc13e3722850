"""The linear layer. C input channels, O output channels."""

import torch
from torch import Tensor

from laimbench.ops import _autocast, _checks, _extension  # noqa: F401  (_extension registers the kernels)
from laimbench.ops._autograd import differentiable

_ops = torch.ops.laimbench


def linear(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """Return x wᵀ + b, shape (..., O).

    Args:
        x: (..., C), any strides, float64, float32 or bfloat16; on CUDA float32, bfloat16 or float16.
        w: weight (O, C).
        b: bias (O,) or None.

    Raises:
        TypeError, ValueError: naming the argument, what it was and what was expected.
    """
    x, w, b = _autocast.cast(x, w, b)
    check_linear(("x", x), ("w", w), ("b", b))
    return _linear(x, w, b)


def check_linear(x: tuple[str, Tensor], w: tuple[str, Tensor], b: tuple[str, Tensor | None]) -> None:
    """Check x (..., C), w (O, C), b (O,), each given with its name."""
    _checks.floating(*x)
    _checks.same_dtype(x[0], x[1], **{w[0]: w[1], b[0]: b[1]})
    _checks.at_least_one_dimension(*x, "(..., C)")
    _checks.dimensions(*w, 2, "(O, C)")
    _checks.shape(*w, (w[1].shape[0], x[1].shape[-1]), f"(O, C) with the C of {x[0]}")
    if b[1] is not None:
        _checks.shape(b[0], b[1], (w[1].shape[0],), f"(O,) with the O of {w[0]}")


@torch.library.register_fake("laimbench::linear")
def _(x, w, b):
    return x.new_empty(*x.shape[:-1], w.shape[0])


@torch.library.register_fake("laimbench::linear_backward")
def _(gradient, x, w, need_x, need_b):
    return (
        x.new_empty(x.shape if need_x else 0),
        torch.empty_like(w, memory_format=torch.contiguous_format),
        x.new_empty(w.shape[0] if need_b else 0),
    )


def _setup_context(ctx, inputs, output):
    x, w, b = inputs
    ctx.save_for_backward(x, w)
    ctx.has_bias = b is not None


def _backward(ctx, gradient):
    x, w = ctx.saved_tensors
    need_x = ctx.needs_input_grad[0]
    dx, dw, db = _ops.linear_backward(gradient, x, w, need_x, ctx.has_bias)
    return dx if need_x else None, dw, db if ctx.has_bias else None


_linear = differentiable("linear", _backward, _setup_context)
