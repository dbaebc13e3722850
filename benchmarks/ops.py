"""Time of every op, by shape, dtype and direction, on one thread.

One thread, so that machines with more cores run the same work. It does not make a busy machine quiet: compare commits only from
runs on an idle one.
"""

from typing import ClassVar

import torch

from laimbench import ops

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
DIRECTIONS = ["forward", "forward+backward"]


class _Op:
    """A subclass names its shapes and makes the tensors; those of floating type get gradients."""

    shapes: ClassVar[dict[str, tuple[int, ...]]]
    param_names = ("shape", "dtype", "direction")
    timeout = 120
    warmup_time = 0.2
    sample_time = 0.02

    def __init_subclass__(cls):
        cls.params = (list(cls.shapes), list(DTYPES), DIRECTIONS)

    def setup(self, shape, dtype, direction):
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.backward = direction == "forward+backward"
        inputs = self.make(*self.shapes[shape])
        self.inputs = [
            t.to(DTYPES[dtype]).requires_grad_(self.backward) if t.is_floating_point() else t for t in inputs
        ]
        self.gradient = torch.ones_like(self.call(*self.inputs))
        # A process's first backward costs hundreds of ms once, asv takes a process per case, and --quick does not warm up.
        self.time_op(shape, dtype, direction)

    def time_op(self, shape, dtype, direction):
        out = self.call(*self.inputs)
        if self.backward:
            torch.autograd.grad(out, [t for t in self.inputs if t.requires_grad], self.gradient)


class Attention(_Op):
    shapes: ClassVar = {
        "B4 H4 S128 D32": (4, 4, 128, 32),
        "B4 H4 S256 D64": (4, 4, 256, 64),
        "B1 H4 S1024 D64": (1, 4, 1024, 64),
    }

    def make(self, batch, heads, seqlen, channels):
        return [part.transpose(1, 2) for part in torch.randn(batch, seqlen, 3, heads, channels).unbind(2)]

    def call(self, q, k, v):
        return ops.attention(q, k, v, causal=True)


class MLP(_Op):
    shapes: ClassVar = {"T2048 C128": (2048, 128), "T1024 C256": (1024, 256)}

    def make(self, tokens, channels):
        sizes = ((tokens, channels), (4 * channels, channels), (4 * channels,), (channels, 4 * channels), (channels,))
        return [0.1 * torch.randn(size) for size in sizes]

    def call(self, *tensors):
        return ops.mlp(*tensors)


class GatedMLP(_Op):
    shapes: ClassVar = {"T2048 C128 F336": (2048, 128, 336), "T1024 C256 F672": (1024, 256, 672)}

    def make(self, tokens, channels, hidden):
        sizes = ((tokens, channels), (hidden, channels), (hidden, channels), (channels, hidden))
        return [0.1 * torch.randn(size) for size in sizes]

    def call(self, *tensors):
        return ops.gated_mlp(*tensors)


class Linear(_Op):
    shapes: ClassVar = {"T2048 C256 O768": (2048, 256, 768), "T512 C768 O768": (512, 768, 768)}

    def make(self, tokens, channels, outputs):
        return [0.1 * torch.randn(size) for size in ((tokens, channels), (outputs, channels), (outputs,))]

    def call(self, *tensors):
        return ops.linear(*tensors)


class LayerNorm(_Op):
    shapes: ClassVar = {"T4096 C256": (4096, 256), "T2048 C768": (2048, 768)}

    def make(self, tokens, channels):
        return [torch.randn(size) for size in ((tokens, channels), (channels,), (channels,))]

    def call(self, *tensors):
        return ops.layer_norm(*tensors)


class RMSNorm(_Op):
    shapes: ClassVar = {"T4096 C256": (4096, 256), "T2048 C768": (2048, 768)}

    def make(self, tokens, channels):
        return [torch.randn(size) for size in ((tokens, channels), (channels,))]

    def call(self, *tensors):
        return ops.rms_norm(*tensors)


class LinearCrossEntropy(_Op):
    shapes: ClassVar = {"T2048 C128 V1024": (2048, 128, 1024), "T1024 C256 V8192": (1024, 256, 8192)}

    def make(self, tokens, channels, vocabulary):
        weight = 0.1 * torch.randn(vocabulary, channels)
        return [torch.randn(tokens, channels), weight, torch.randint(0, vocabulary, (tokens,))]

    def call(self, x, weight, target):
        return ops.linear_cross_entropy(x, weight, target)
