"""Fused kernels for training Transformers, as ordinary torch ops: forward, backward, autocast, torch.compile.

Every op has a twin of the same name in ``laimbench.ops.reference``, in plain PyTorch.
"""

from laimbench.ops import reference
from laimbench.ops.attention import attention
from laimbench.ops.gated_mlp import gated_mlp
from laimbench.ops.layer_norm import layer_norm
from laimbench.ops.linear import linear
from laimbench.ops.linear_cross_entropy import linear_cross_entropy
from laimbench.ops.mlp import mlp
from laimbench.ops.rms_norm import rms_norm

__all__ = [
    "attention",
    "gated_mlp",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "mlp",
    "reference",
    "rms_norm",
]
