"""Is a kernel right? Its error against float64 may be at most a small multiple of stock's own.

An output may be off by twice stock's error, a gradient by three times, each plus one rounding of the result; errors are the
largest absolute difference from the float64 reference on the same (rounded) inputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from laimbench.bench.kernels import Case, results
from laimbench.ops import reference

OUTPUT_FACTOR = 2.0
GRADIENT_FACTOR = 3.0


@dataclass(frozen=True)
class Verdict:
    """Whether every output and gradient is within its bound; ``worst`` is the largest error as a share of its bound."""

    right: bool
    worst: float
    where: str  # "output 0", "gradient 2": where the worst is


def judge(case: Case, op: Callable[..., Any], stock: Callable[..., Any], dtype: torch.dtype) -> Verdict:
    """Run op, stock and the float64 reference on one input and compare."""
    torch.manual_seed(0)
    inputs = case.make(dtype)
    exact = list(
        results(case, getattr(reference, case.op), tuple(t.double() if t.is_floating_point() else t for t in inputs))
    )
    tested, stocks = list(results(case, op, inputs)), list(results(case, stock, inputs))
    outputs = len(exact) - sum(t.is_floating_point() for t in inputs)
    worst, where = 0.0, "output 0"
    for i, (ours, theirs, truth) in enumerate(zip(tested, stocks, exact, strict=True)):
        if ours.shape != truth.shape:
            return Verdict(False, float("inf"), f"shape {tuple(ours.shape)} instead of {tuple(truth.shape)}")
        factor = OUTPUT_FACTOR if i < outputs else GRADIENT_FACTOR
        allowed = factor * error(theirs, truth) + torch.finfo(dtype).eps / 2 * truth.abs().max().item()
        share = error(ours, truth) / max(allowed, 1e-300)
        if not share <= worst:  # NaN counts as worse than anything
            worst, where = share, f"output {i}" if i < outputs else f"gradient {i - outputs}"
    return Verdict(worst <= 1.0, worst, where)


def error(values: torch.Tensor, truth: torch.Tensor) -> float:
    """Return the largest absolute difference from the truth, NaN when any is."""
    return (values.double() - truth).abs().max().item() if truth.numel() else 0.0
