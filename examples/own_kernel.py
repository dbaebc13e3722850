"""A kernel of one's own for `laimbench bench --own examples/own_kernel.py`.

A function named as an op of laimbench.ops, with its arguments, is checked against float64 (outputs and gradients) and, where it
is right, timed in turns with laim and stock. It may call anything that torch's autograd can go through: a C++ or CUDA extension
(for example by torch.utils.cpp_extension.load), a Triton kernel, a torch.autograd.Function.

This one trades arithmetic for memory: the hidden activations are not kept for the backward but computed again.
"""

import torch
from torch.nn.functional import gelu, linear

KINDS = {"gelu": "none", "gelu_tanh": "tanh"}


class RecomputedMLP(torch.autograd.Function):
    """gelu(x w1ᵀ + b1) w2ᵀ + b2, of which only the inputs are kept."""

    @staticmethod
    def forward(ctx, x, w1, b1, w2, b2, approximate):
        ctx.save_for_backward(x, w1, b1, w2)
        ctx.approximate = approximate
        return linear(gelu(linear(x, w1, b1), approximate=approximate), w2, b2)

    @staticmethod
    def backward(ctx, gradient):
        x, w1, b1, w2 = ctx.saved_tensors
        rows, upstream = x.flatten(0, -2), gradient.flatten(0, -2)
        pre = linear(rows, w1, b1)
        hidden = gelu(pre, approximate=ctx.approximate)
        d_pre = torch.ops.aten.gelu_backward(upstream @ w2, pre, approximate=ctx.approximate)
        return (d_pre @ w1).view_as(x), d_pre.t() @ rows, d_pre.sum(0), upstream.t() @ hidden, upstream.sum(0), None


def mlp(x, w1, b1, w2, b2, *, activation="gelu"):
    """The surface of laimbench.ops.mlp for the two GELUs."""
    return RecomputedMLP.apply(x, w1, b1, w2, b2, KINDS[activation])
