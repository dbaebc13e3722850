"""The gated perceptron of a Transformer block, fused. C, F, O: input, hidden and output channels."""

import math

import torch
from torch import Tensor

from laimbench.ops import _autocast, _checks, _extension  # noqa: F401  (_extension registers the kernels)
from laimbench.ops._autograd import differentiable
from laimbench.ops.linear import check_linear
from laimbench.ops.mlp import ACTIVATIONS, check_second

_ops = torch.ops.laimbench


def gated_mlp(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor, *, activation: str = "silu") -> Tensor:
    """Return (act(x w_gateᵀ) * (x w_upᵀ)) w_downᵀ, shape (..., O): SwiGLU with "silu", GEGLU with "gelu".

    Args:
        x: (..., C), any strides, float64, float32 or bfloat16; on CUDA float32, bfloat16 or float16.
        w_gate: (F, C).
        w_up: (F, C).
        w_down: (O, F).
        activation: "relu", "gelu" (exact), "gelu_tanh" or "silu".

    For the backward two tensors of (tokens, F) are kept, x w_gateᵀ and x w_upᵀ; activation and product are recomputed
    together with the derivatives. Stock keeps four.

    Raises:
        TypeError, ValueError: naming the argument, what it was and what was expected.

    Source: Shazeer 2020, GLU variants improve Transformer (arXiv:2002.05202), eq. 6.
    """
    x, w_gate, w_up, w_down = _autocast.cast(x, w_gate, w_up, w_down)
    _checks.choice("activation", activation, ACTIVATIONS)
    check_linear(("x", x), ("w_gate", w_gate), ("b", None))
    _checks.floating("w_up", w_up)
    _checks.same_dtype("x", x, w_up=w_up)
    _checks.shape("w_up", w_up, tuple(w_gate.shape), "(F, C) as w_gate has")
    check_second(("x", x), ("w_gate", w_gate), ("w_down", w_down))
    keep = _checks.wants_gradient(x, w_gate, w_up, w_down)
    return _gated_mlp(x, w_gate, w_up, w_down, ACTIVATIONS.index(activation), keep)[0]


@torch.library.register_fake("laimbench::gated_mlp")
def _(x, w_gate, w_up, w_down, activation, keep):
    kept = (math.prod(x.shape[:-1]), w_gate.shape[0]) if keep else (0,)
    return x.new_empty(*x.shape[:-1], w_down.shape[0]), x.new_empty(kept), x.new_empty(kept)


@torch.library.register_fake("laimbench::gated_mlp_backward")
def _(gradient, x, w_gate, w_up, w_down, gate, up, activation, need_x):
    weights = (w.new_empty(w.shape) for w in (w_gate, w_up, w_down))
    return x.new_empty(x.shape if need_x else 0), *weights


def _setup_context(ctx, inputs, output):
    x, w_gate, w_up, w_down, ctx.activation, ctx.kept = inputs
    _, gate, up = output
    ctx.save_for_backward(x, w_gate, w_up, w_down, gate, up)
    ctx.mark_non_differentiable(gate, up)
    ctx.set_materialize_grads(False)


def _backward(ctx, gradient, _gradient_gate, _gradient_up):
    if gradient is None:
        return (None,) * 6
    if not ctx.kept:
        raise RuntimeError("laimbench::gated_mlp was called with keep=False: it has no gradient")
    need_x = ctx.needs_input_grad[0]
    dx, *dws = _ops.gated_mlp_backward(gradient, *ctx.saved_tensors, ctx.activation, need_x)
    return dx if need_x else None, *dws, None, None


_gated_mlp = differentiable("gated_mlp", _backward, _setup_context)
