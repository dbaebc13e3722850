"""The ops' cases: shapes, inputs, exact work, and how to call each side."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
GPU_DTYPES = DTYPES | {"fp16": torch.float16}
DIRECTIONS = ("forward", "forward+backward")
BACKWARD_FACTOR = {"attention": 3.5}  # backward recomputes the scores: 2.5 times the forward; elsewhere twice


@dataclass(frozen=True)
class Case:
    """One op on one shape. ``make(dtype)`` returns the positional tensors, on torch's default device; those of floating type get gradients."""

    op: str
    shape: str
    gflop: float  # of the forward
    make: Callable[[torch.dtype], tuple[Any, ...]]
    options: dict[str, Any] = field(default_factory=dict)

    def work(self, direction: str) -> float:
        """Return the GFLOP of a direction."""
        return self.gflop * (BACKWARD_FACTOR.get(self.op, 3) if direction == "forward+backward" else 1)


def attention(batch: int, heads: int, seqlen: int, channels: int, causal: bool = True) -> Case:
    def make(dtype):
        # as in a model: heads are views of one projection's output
        qkv = torch.randn(batch, seqlen, 3, heads, channels).to(dtype)
        return tuple(part.transpose(1, 2) for part in qkv.unbind(2))

    pairs = seqlen * (seqlen + 1) / 2 if causal else seqlen * seqlen
    shape = f"B{batch} H{heads} S{seqlen} D{channels}{' causal' if causal else ''}"
    return Case("attention", shape, 4e-9 * batch * heads * channels * pairs, make, {"causal": causal})


def mlp(tokens: int, channels: int) -> Case:
    hidden = 4 * channels

    def make(dtype):
        shapes = ((tokens, channels), (hidden, channels), (hidden,), (channels, hidden), (channels,))
        return tuple((torch.randn(shape) * 0.1).to(dtype) for shape in shapes)

    return Case("mlp", f"T{tokens} C{channels} F{hidden}", 4e-9 * tokens * channels * hidden, make)


def gated_mlp(tokens: int, channels: int) -> Case:
    hidden = 8 * channels // 3 // 16 * 16  # as many weights as an MLP of 4 C, as LLaMA has it

    def make(dtype):
        shapes = ((tokens, channels), (hidden, channels), (hidden, channels), (channels, hidden))
        return tuple((torch.randn(shape) * 0.1).to(dtype) for shape in shapes)

    return Case("gated_mlp", f"T{tokens} C{channels} F{hidden}", 6e-9 * tokens * channels * hidden, make)


def linear(tokens: int, channels: int, outputs: int) -> Case:
    def make(dtype):
        return tuple(
            (torch.randn(shape) * 0.1).to(dtype) for shape in ((tokens, channels), (outputs, channels), (outputs,))
        )

    return Case("linear", f"T{tokens} C{channels} O{outputs}", 2e-9 * tokens * channels * outputs, make)


# Each norm: how many vectors it takes, operations per element.
NORMS = {"layer_norm": (2, 8), "rms_norm": (1, 4)}


def norm(op: str, tokens: int, channels: int, residual: bool) -> Case:
    vectors, operations = NORMS[op]

    def make(dtype):
        shapes = [(tokens, channels), *[(channels,)] * vectors, *[(tokens, channels)] * residual]
        return tuple(torch.randn(shape).to(dtype) for shape in shapes)

    shape = f"T{tokens} C{channels}{' +residual' if residual else ''}"
    return Case(op, shape, operations * 1e-9 * tokens * channels, make)


def layer_norm(tokens: int, channels: int, residual: bool) -> Case:
    return norm("layer_norm", tokens, channels, residual)


def rms_norm(tokens: int, channels: int, residual: bool) -> Case:
    return norm("rms_norm", tokens, channels, residual)


def linear_cross_entropy(tokens: int, channels: int, vocabulary: int) -> Case:
    def make(dtype):
        return (
            torch.randn(tokens, channels).to(dtype),
            (torch.randn(vocabulary, channels) * 0.1).to(dtype),
            torch.randint(0, vocabulary, (tokens,)),
        )

    return Case(
        "linear_cross_entropy", f"T{tokens} C{channels} V{vocabulary}", 2e-9 * tokens * channels * vocabulary, make
    )


SUITES: dict[str, list[Case]] = {
    "quick": [
        attention(4, 4, 128, 32),
        attention(4, 4, 256, 64),
        attention(1, 4, 1024, 64),
        attention(1, 4, 512, 64, causal=False),
        mlp(2048, 128),
        mlp(1024, 256),
        gated_mlp(2048, 128),
        gated_mlp(1024, 256),
        linear(2048, 256, 768),
        layer_norm(4096, 256, residual=False),
        layer_norm(4096, 256, residual=True),
        rms_norm(4096, 256, residual=False),
        rms_norm(4096, 256, residual=True),
        linear_cross_entropy(2048, 128, 1024),
        linear_cross_entropy(1024, 256, 8192),
    ],
    "full": [
        *(attention(b, 4, s, d, c) for b, s in ((8, 64), (4, 256), (2, 512), (1, 1024), (1, 2048), (1, 4096))
          for d in (32, 64, 128) for c in (True, False)),
        *(mlp(t, c) for t in (64, 512, 2048, 8192) for c in (64, 128, 256, 768)),
        *(gated_mlp(t, c) for t in (64, 512, 2048, 8192) for c in (128, 256, 768)),
        *(linear(t, c, o) for t in (64, 512, 2048) for c, o in ((128, 384), (256, 768), (768, 2304), (1024, 1024))),
        *(norm(op, t, c, r) for op in NORMS for t in (512, 4096) for c in (128, 256, 768) for r in (False, True)),
        *(linear_cross_entropy(t, c, v) for t, c, v in ((2048, 128, 1024), (1024, 256, 8192), (1024, 512, 50257))),
    ],
    # What decides how fast Transformers train on a CPU, from shapes that calls dominate to ones that fill the machine; and, with few rows, how
    # fast they generate.
    "cpu": [
        *(attention(b, 4, s, d) for b, s, d in (
            (16, 64, 64), (8, 256, 32), (8, 256, 64), (8, 256, 80), (8, 256, 128), (2, 1024, 32), (2, 1024, 64),
            (2, 1024, 128), (1, 2048, 64), (1, 8192, 64))),
        *(op(t, c) for op in (mlp, gated_mlp)
          for t, c in ((64, 64), (64, 768), (512, 128), (512, 512), (2048, 128), (2048, 256), (2048, 768), (8192, 256), (512, 2048))),
        *(linear(t, 768, 3072) for t in (1, 4, 8, 16, 32, 64, 512)),
        *(linear_cross_entropy(t, c, v) for t, c, v in ((2048, 256, 8192), (1024, 512, 32000), (1024, 512, 50257))),
        *(norm(op, t, c, r) for op in NORMS for t, c, r in (
            (64, 256, False), (4096, 256, False), (4096, 256, True), (2048, 768, False), (2048, 768, True), (512, 2048, True))),
    ],
    # As many tokens as a step of a large model has on one GPU: 16,384; 2,048 channels in heads of 128.
    "cuda": [
        *(attention(16384 // s, 16, s, 128, c) for s in (512, 1024, 2048, 4096, 8192, 16384) for c in (True, False)),
        *(attention(16384 // s, 32, s, 64) for s in (1024, 4096, 16384)),
        *(op(16384, c) for op in (mlp, gated_mlp) for c in (768, 2048, 4096)),
        *(linear_cross_entropy(16384, c, v) for c, v in ((768, 50257), (2048, 32000), (2048, 128256))),
        *(norm(op, 16384, c, r) for op in NORMS for c in (768, 2048, 8192) for r in (False, True)),
    ],
}  # fmt: skip
OPS = tuple(dict.fromkeys(case.op for case in SUITES["full"]))


def outputs(case: Case, op: Callable[..., Any], inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Call the op on the case's inputs; return its outputs, a tuple also where there is one."""
    if case.op in NORMS and len(inputs) == 2 + NORMS[case.op][0]:
        out = op(*inputs[:-1], residual=inputs[-1], **case.options)
    else:
        out = op(*inputs, **case.options)
    return out if isinstance(out, tuple) else (out,)


def gigabytes(case: Case, op: Callable[..., Any], inputs: tuple[Any, ...], direction: str) -> float:
    """Return the GB that a direction moves at least: inputs read and outputs written once; with the backward also gradients of outputs
    read and of floating inputs written.
    """
    with torch.no_grad():
        outs = outputs(case, op, inputs)
    size = lambda tensors: sum(t.numel() * t.element_size() for t in tensors)  # noqa: E731
    least = size(inputs) + size(outs)
    if direction == "forward+backward":
        least += size(outs) + size(t for t in inputs if t.is_floating_point())
    return least / 1e9


def gradients(outs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return fixed random gradients of the outputs: the same for every side, whatever its dtype."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(out.shape, generator=generator, device="cpu").to(out) for out in outs]


def bound(case: Case, op: Callable[..., Any], inputs: tuple[Any, ...], direction: str) -> Callable[[], object]:
    """Return a call without arguments that runs ``op`` on the inputs in the given direction."""
    if direction == "forward":

        @torch.no_grad()
        def run():
            return outputs(case, op, inputs)

        return run

    leaves = tuple(t.detach().requires_grad_(t.is_floating_point()) for t in inputs)
    given = gradients(outputs(case, op, leaves))

    def run_both():
        torch.autograd.backward(outputs(case, op, leaves), given)
        for leaf in leaves:
            leaf.grad = None

    return run_both
