"""Autograd of our ops, twice from one pair of functions.

It is registered with torch, for torch.compile and for who calls ``torch.ops.laimbench.*``. Registered in Python it makes a call slower than a
``torch.autograd.Function`` around the kernel does (docs/kernels.md has by how much), so that is what runs in eager mode.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import Function

Call = Callable[..., Any]


def differentiable(name: str, backward: Call, setup_context: Call, results: int = 1) -> Call:
    """Register the autograd of op ``name``, as ``torch.library.register_autograd`` takes it; return a function that calls the op with it and
    returns the first ``results`` of its outputs, the differentiable ones, as a tuple.
    """
    op = getattr(torch.ops.laimbench, name).default
    torch.library.register_autograd(f"laimbench::{name}", backward, setup_context=setup_context)
    kept = len(op._schema.returns) - results  # outputs for the backward only: no gradient comes for them
    no_gradients = (None,) * kept

    def kernel(*inputs):
        with torch._C._AutoDispatchBelowAutograd():  # straight there, past what was registered
            return op(*inputs)

    class Eager(Function):
        @staticmethod
        def forward(ctx, *inputs):
            output = kernel(*inputs)
            setup_context(ctx, inputs, output)
            return output[:results] if kept else output

        @staticmethod
        def backward(ctx, *gradients):
            if (
                torch.is_grad_enabled()
            ):  # create_graph=True: what follows would be constants to it, so derivatives of zero
                raise RuntimeError(
                    f"laimbench's {name} has no second derivative: take the stock op where create_graph=True is needed"
                )
            return backward(ctx, *gradients, *no_gradients)

    def call(*inputs):
        compiling = torch.compiler.is_compiling()
        if torch.is_grad_enabled() and not compiling:
            return Eager.apply(*inputs)
        output = op(*inputs) if compiling else kernel(*inputs)
        return output[:results] if kept else output

    return call
