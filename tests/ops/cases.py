"""Seeded random cases of every op, and the error rule they are judged by."""

import os
import random
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from laimbench import ops
from laimbench.models import stock
from laimbench.ops import _checks, reference
from laimbench.ops._extension import BUILD
from tests.ops.sequential import SumsInTurn

DEVICE = os.environ.get("LAIMBENCH_TEST_DEVICE", "cpu")
DTYPES = _checks.DTYPES[DEVICE]
LAYOUTS = ("contiguous", "transposed", "sliced", "expanded", "offset")
OUTPUT_FACTOR, GRADIENT_FACTOR = 2.0, 3.0


@dataclass
class Case:
    """Inputs by position (None stays None) and options of one call."""

    op: str
    inputs: list[Tensor | None]
    options: dict[str, Any] = field(default_factory=dict)
    description: str = ""


def laid_out(tensor: Tensor, layout: str) -> Tensor:
    """Return a tensor of equal shape whose memory is arranged as named (values of "expanded" repeat)."""
    if layout == "transposed" and tensor.dim() >= 2:
        return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
    if layout == "sliced":
        wide = tensor.new_zeros(*tensor.shape[:-1], 2 * tensor.shape[-1] + 1)
        wide[..., 1::2] = tensor
        return wide[..., 1::2]
    if layout == "expanded" and tensor.dim() >= 2 and tensor.shape[0] > 0:
        return tensor[:1].expand(tensor.shape)
    if layout == "offset":  # starts one element into its storage: not aligned to a vector
        flat = tensor.new_empty(tensor.numel() + 1)
        flat[1:] = tensor.flatten()
        return flat[1:].view(tensor.shape)
    return tensor.contiguous()


def make(op: str, seed: int, draw: int = 0) -> Case:
    """Return the case of this op and seed; another draw has the same shapes and options and other values."""
    rng = random.Random(f"{op} {seed}")
    torch.manual_seed(rng.randrange(1 << 30) + draw)
    dtype = DTYPES[seed % 3]
    case = globals()[f"_{op}"](rng)
    # Equal rows of an output layer would make its gradient cancel exactly: nothing to compare errors with.
    known = [name for name in LAYOUTS if name != "expanded" or op != "linear_cross_entropy"]
    layouts = [rng.choice(known) for _ in case.inputs]
    case.inputs = [
        None if t is None else laid_out(t.to(DEVICE, dtype), how) if t.is_floating_point() else t.to(DEVICE)
        for t, how in zip(case.inputs, layouts, strict=True)
    ]
    residual = case.options.get("residual")
    if residual is not None:
        case.options["residual"] = laid_out(residual.to(DEVICE, dtype), rng.choice(LAYOUTS))
    for name, value in case.options.items():
        case.options[name] = value.to(DEVICE) if isinstance(value, Tensor) else value
    shapes = [None if t is None else tuple(t.shape) for t in case.inputs]
    case.description = f"{op} seed {seed} {dtype} {shapes} {layouts} {case.options}"
    return case


def _size(rng: random.Random, most: int) -> int:
    return rng.choice([0, 1, 1, 2, 3, rng.randint(1, most), rng.randint(1, most), rng.randint(1, most), most])


def _attention(rng: random.Random) -> Case:
    batch, key_heads, group = rng.randint(0, 3) or 1, rng.randint(1, 3), rng.choice([1, 1, 2, 3])
    queries, keys = _size(rng, 220), _size(rng, 260)
    if rng.random() < 0.4:
        keys = queries
    channels = rng.choice([1, 3, 8, 16, 20, 32, 40, 64, 80, 128])
    q = torch.randn(batch, key_heads * group, queries, channels)
    k, v = (torch.randn(batch, key_heads, keys, channels) for _ in range(2))
    options: dict[str, Any] = {"causal": rng.random() < 0.5}
    if rng.random() < 0.3:
        options["window"] = rng.choice([1, 2, 17, 100])
    if rng.random() < 0.3:
        options["key_lengths"] = torch.tensor([rng.randint(0, keys) for _ in range(batch)])
    if rng.random() < 0.3:
        options["scale"] = rng.choice([0.0, -0.3, 1.0])
    return Case("attention", [q, k, v], options)


def _rows(rng: random.Random) -> tuple[int, ...]:
    return rng.choice([(), (_size(rng, 300),), (2, _size(rng, 90)), (2, 3, _size(rng, 20))])


def _linear(rng: random.Random) -> Case:
    channels, outputs = _size(rng, 300), _size(rng, 200)
    bias = torch.randn(outputs) if rng.random() < 0.6 else None
    return Case("linear", [torch.randn(*_rows(rng), channels), torch.randn(outputs, channels), bias])


def _mlp(rng: random.Random) -> Case:
    channels, hidden, outputs = _size(rng, 120), _size(rng, 300), _size(rng, 120)
    b1, b2 = (torch.randn(n) if rng.random() < 0.7 else None for n in (hidden, outputs))
    x = torch.randn(*_rows(rng), channels)
    weights = torch.randn(hidden, channels) * 0.2, torch.randn(outputs, hidden) * 0.2
    activation = rng.choice(["relu", "gelu", "gelu_tanh", "silu"])
    return Case("mlp", [x, weights[0], b1, weights[1], b2], {"activation": activation})


def _gated_mlp(rng: random.Random) -> Case:
    channels, hidden, outputs = _size(rng, 120), _size(rng, 300), _size(rng, 120)
    x = torch.randn(*_rows(rng), channels)
    weights = (torch.randn(size) * 0.2 for size in ((hidden, channels), (hidden, channels), (outputs, hidden)))
    return Case("gated_mlp", [x, *weights], {"activation": rng.choice(["relu", "gelu", "gelu_tanh", "silu"])})


def _norm(op: str, rng: random.Random, least_channels: int, vectors: int) -> Case:
    rows, channels = _rows(rng), max(least_channels, _size(rng, 300))
    x = torch.randn(*rows, channels) * rng.choice([0.01, 1.0, 30.0]) + rng.choice([0.0, 5.0])
    given = [torch.randn(channels) if rng.random() < 0.8 else None for _ in range(vectors)]
    options: dict[str, Any] = {"eps": rng.choice([1e-5, 1e-3])}
    if rng.random() < 0.5:
        options["residual"] = torch.randn(*rows, channels)
    return Case(op, [x, *given], options)


def _layer_norm(rng: random.Random) -> Case:
    return _norm("layer_norm", rng, 2, 2)


def _rms_norm(rng: random.Random) -> Case:
    return _norm("rms_norm", rng, 1, 1)


def _linear_cross_entropy(rng: random.Random) -> Case:
    rows, channels, vocabulary = _rows(rng), _size(rng, 100), max(1, _size(rng, 400))
    target = torch.randint(0, vocabulary, rows)
    target[torch.rand(rows) < 0.2] = -100
    if target.numel() and (target == -100).all():
        target.view(-1)[0] = 0
    options: dict[str, Any] = {"reduction": rng.choice(["mean", "sum", "none"])}
    if rng.random() < 0.3:
        options["bias"] = torch.randn(vocabulary)
    return Case(
        "linear_cross_entropy", [torch.randn(*rows, channels), torch.randn(vocabulary, channels), target], options
    )


def evaluate(function, case: Case, dtype: torch.dtype | None = None) -> tuple[list[Tensor], list[Tensor]]:
    """Return outputs and input gradients of a call under a fixed output gradient; ``dtype`` converts the inputs first."""

    def leaf(tensor):
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            return tensor
        return (tensor.to(dtype) if dtype else tensor).detach().requires_grad_()

    inputs = [leaf(t) for t in case.inputs]
    options = {name: leaf(value) for name, value in case.options.items()}
    if "bias" in options:
        options["bias"] = options["bias"].detach().to(inputs[0].dtype).requires_grad_()
    out = function(*inputs, **options)
    outs = list(out) if isinstance(out, tuple) else [out]
    generator = torch.Generator().manual_seed(7)
    gradients = [torch.randn(o.shape, generator=generator).to(case.inputs[0].dtype).to(o) for o in outs]
    torch.autograd.backward(outs, gradients)
    leaves = [t for t in [*inputs, *options.values()] if isinstance(t, Tensor) and t.requires_grad]
    return [o.detach() for o in outs], [t.grad for t in leaves]


@dataclass
class Errors:
    """The largest errors against float64 of one output or gradient."""

    name: str
    factor: float
    ours: float
    stock: float
    rounding: float  # of the result, and of terms that cancel
    where: tuple[int, ...]

    def within(self) -> bool:
        return self.ours <= self.factor * self.stock + self.rounding


def measure(case: Case) -> list[Errors]:
    """Return the errors of every output and gradient."""
    dtype = case.inputs[0].dtype
    exact = evaluate(getattr(reference, case.op), case, torch.float64)
    ours = evaluate(getattr(ops, case.op), case)
    with SumsInTurn() if dtype == torch.float32 and BUILD["cuda"] == "twin" else nullcontext():
        stocks = evaluate(getattr(reference if dtype == torch.float64 else stock, case.op), case)
    if any(t.isnan().any() for side in stocks for t in side):
        # stock's attention returns NaN for some masks: the plain twin in the same dtype stands in for it
        stocks = evaluate(getattr(reference, case.op), case)
    scale = max((t.abs().max().item() for t in case.inputs if t is not None and t.numel()), default=1.0)
    found = []
    for kind, factor, triples in (
        ("output", OUTPUT_FACTOR, zip(ours[0], stocks[0], exact[0], strict=True)),
        ("gradient", GRADIENT_FACTOR, zip(ours[1], stocks[1], exact[1], strict=True)),
    ):
        for i, (mine, theirs, truth) in enumerate(triples):
            assert mine.shape == truth.shape, f"{kind} {i}: shape {tuple(mine.shape)}, expected {tuple(truth.shape)}"
            assert mine.dtype == theirs.dtype or case.op == "linear_cross_entropy", f"{kind} {i}: {mine.dtype}"
            if truth.numel() == 0:
                continue
            if truth.isnan().all():  # the mean of nothing
                assert mine.isnan().all(), f"{kind} {i}: {mine}, expected NaN"
                continue
            difference = (mine.double() - truth).abs()
            magnitude = truth.abs().max().item()
            if dtype == torch.float64:  # no better reference: some roundings of the sums
                rounding = 1e-13 * max(magnitude, 1.0, scale**2)
            elif magnitude < 1e-12:  # terms that cancel exactly: their own rounding, in the type they are summed in
                rounding = 4 * torch.finfo(torch.float32).eps * scale**2
            else:
                rounding = torch.finfo(dtype).eps / 2 * magnitude
            where = tuple(int(index) for index in torch.unravel_index(difference.argmax(), difference.shape))
            worst = difference.max().item()
            stock_worst = (theirs.double() - truth).abs().max().item()
            found.append(
                Errors(f"{kind} {i}", factor, worst if worst == worst else float("inf"), stock_worst, rounding, where)
            )
    return found


def violations(op: str, seed: int) -> list[str]:
    """Return one line per output or gradient of the case that breaks the error rule.

    The rule: the largest error against float64 is at most twice stock's own (three times for a gradient) plus one rounding of the
    result. On a small tensor stock's error may be small by luck; a case that breaks the rule is judged again by the worst errors,
    ours and stock's, over 16 draws of the same shapes.
    """
    first = measure(make(op, seed))
    if all(errors.within() for errors in first):
        return []
    draws = [first] + [measure(make(op, seed, draw)) for draw in range(1, 16)]
    found = []
    for same in zip(*draws, strict=True):
        worst = max(same, key=lambda errors: errors.ours)
        pooled = Errors(
            worst.name, worst.factor, worst.ours, max(e.stock for e in same), max(e.rounding for e in same), worst.where
        )
        if not pooled.within():
            found.append(
                f"{pooled.name}: off by {pooled.ours:.3g} at {pooled.where}, stock by {pooled.stock:.3g}, "
                f"rounding {pooled.rounding:.3g}; {make(op, seed).description}"
            )
    return found
