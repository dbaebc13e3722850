"""silu(a) * b as one op."""

import torch

from swiglu import _C  # noqa: F401 - registers the ops


def swiglu(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return silu(a) * b, elementwise, for float32 tensors of one shape on the CPU."""
    return _SwiGLU.apply(a, b)


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return torch.ops.swiglu.forward(a, b)

    @staticmethod
    def backward(ctx, gradient):
        return torch.ops.swiglu.backward(gradient, *ctx.saved_tensors)
