"""Matrix products as a GPU without tensor cores sums them: one product after the other, each sum rounded.

A CPU's library sums in many parts side by side, which rounds less than any GPU's fp32 product does. So where CUDA's fp32 kernels run on a
CPU (the twin build), what stands for stock is summed in this way.
"""

import math

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return _sum_in_turn(a, b)

    @staticmethod
    def backward(ctx, gradient):
        a, b = ctx.saved_tensors
        to_a = _sum_in_turn(gradient, b.transpose(-1, -2))
        to_b = _sum_in_turn(a.transpose(-1, -2), gradient)
        return to_a, to_b


def _sum_in_turn(a, b):
    total = a.new_zeros(*a.shape[:-1], b.shape[-1])
    for k in range(a.shape[-1]):
        total += a[..., k : k + 1] * b[..., k : k + 1, :]
    return total


def _product(a, b):
    if a.dim() > 2 and b.dim() == 2:  # all rows are one matrix
        return _Product.apply(a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b).view(*a.shape[:-1], b.shape[-1])
    return _Product.apply(a, b)


def _linear(x, w, b=None):
    out = _product(x if x.dim() > 1 else x[None], w.t())
    out = out if b is None else out + b
    return out if x.dim() > 1 else out[0]


class SumsInTurn(TorchFunctionMode):
    """Inside, ``@`` and ``F.linear`` sum in turn."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__):
            return _product(*args)
        if function is F.linear:
            return _linear(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))
