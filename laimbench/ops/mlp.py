"""The two-layer perceptron of a Transformer block, fused. C, F, O: input, hidden and output channels."""

import math

import torch
from torch import Tensor

from laimbench.ops import _autocast, _checks, _extension  # noqa: F401  (_extension registers the kernels)
from laimbench.ops._autograd import differentiable
from laimbench.ops.linear import check_linear

_ops = torch.ops.laimbench
ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "silu")  # in the order of enum Activation in csrc/core/kernels.h


def mlp(x: Tensor, w1: Tensor, b1: Tensor | None, w2: Tensor, b2: Tensor | None, *, activation: str = "gelu") -> Tensor:
    """Return act(x w1ᵀ + b1) w2ᵀ + b2, shape (..., O).

    Args:
        x: (..., C), any strides, float64, float32 or bfloat16; on CUDA float32, bfloat16 or float16.
        w1: (F, C); b1: (F,) or None.
        w2: (O, F); b2: (O,) or None.
        activation: "relu", "gelu" (exact), "gelu_tanh" or "silu".

    For the backward one tensor of (tokens, F) is kept, the pre-activation; the activation is recomputed together with
    its derivative where the gradient needs both. Stock keeps two.

    Raises:
        TypeError, ValueError: naming the argument, what it was and what was expected.

    Source: Vaswani et al. 2017, eq. 2; GELU: Hendrycks & Gimpel 2016 (arXiv:1606.08415).
    """
    x, w1, b1, w2, b2 = _autocast.cast(x, w1, b1, w2, b2)
    _checks.choice("activation", activation, ACTIVATIONS)
    check_linear(("x", x), ("w1", w1), ("b1", b1))
    check_second(("x", x), ("w1", w1), ("w2", w2))
    if b2 is not None:
        _checks.same_dtype("x", x, b2=b2)
        _checks.shape("b2", b2, (w2.shape[0],), "(O,) with the O of w2")
    keep = _checks.wants_gradient(x, w1, b1, w2, b2)
    return _mlp(x, w1, b1, w2, b2, ACTIVATIONS.index(activation), keep)[0]


def check_second(x: tuple[str, Tensor], w1: tuple[str, Tensor], w2: tuple[str, Tensor]) -> None:
    """Check the weight w2 (O, F) that follows w1 (F, C), each given with its name."""
    _checks.same_dtype(*x, **{w2[0]: w2[1]})
    _checks.dimensions(*w2, 2, "(O, F)")
    _checks.shape(*w2, (w2[1].shape[0], w1[1].shape[0]), f"(O, F) with the F of {w1[0]}")


@torch.library.register_fake("laimbench::mlp")
def _(x, w1, b1, w2, b2, activation, keep_pre):
    tokens = math.prod(x.shape[:-1])
    pre = x.new_empty(tokens, w1.shape[0]) if keep_pre else x.new_empty(0)
    return x.new_empty(*x.shape[:-1], w2.shape[0]), pre


@torch.library.register_fake("laimbench::mlp_backward")
def _(gradient, x, w1, w2, pre, activation, need_x, need_b1, need_b2):
    return (
        x.new_empty(x.shape if need_x else 0),
        w1.new_empty(w1.shape),
        w1.new_empty(w1.shape[0] if need_b1 else 0),
        w2.new_empty(w2.shape),
        w2.new_empty(w2.shape[0] if need_b2 else 0),
    )


def _setup_context(ctx, inputs, output):
    x, w1, b1, w2, b2, ctx.activation, keep_pre = inputs
    pre = output[1]
    ctx.has_bias = b1 is not None, b2 is not None
    ctx.kept = keep_pre
    ctx.save_for_backward(x, w1, w2, pre)
    ctx.mark_non_differentiable(pre)
    ctx.set_materialize_grads(False)


def _backward(ctx, gradient, _gradient_pre):
    if gradient is None:
        return (None,) * 7
    if not ctx.kept:
        raise RuntimeError("laimbench::mlp was called with keep_pre=False: it has no gradient")
    x, w1, w2, pre = ctx.saved_tensors
    need_x = ctx.needs_input_grad[0]
    dx, dw1, db1, dw2, db2 = _ops.mlp_backward(gradient, x, w1, w2, pre, ctx.activation, need_x, *ctx.has_bias)
    return (
        dx if need_x else None,
        dw1,
        db1 if ctx.has_bias[0] else None,
        dw2,
        db2 if ctx.has_bias[1] else None,
        None,
        None,
    )


_mlp = differentiable("mlp", _backward, _setup_context)
