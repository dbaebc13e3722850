"""Is a kernel right? Its error against float64 may be at most a small multiple of stock's own.

An output may be off by twice stock's error, a gradient by three times, each plus one rounding of the result; errors are the
largest absolute difference from the float64 reference on the same (rounded) inputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from laimbench.bench.kernels import Case, gradients, outputs
from laimbench.ops import reference

OUTPUT_FACTOR = 2.0
GRADIENT_FACTOR = 3.0


@dataclass(frozen=True)
class Verdict:
    """Whether everything is within its bound, and what is worst: "output 0: error 1e-3, allowed 1e-4"."""

    right: bool
    detail: str


def judge(
    case: Case,
    op: Callable[..., Any],
    stock: Callable[..., Any],
    dtype: torch.dtype,
    direction: str,
    device: str = "cpu",
) -> Verdict:
    """Run op, stock and the float64 reference on one input and compare outputs, with "forward+backward" also gradients.

    What the op raises is a verdict too: the op may be a user's.
    """
    torch.manual_seed(0)
    with torch.device(device):
        inputs = case.make(dtype)
    with_gradients = direction == "forward+backward"
    exact_inputs = tuple(t.double() if t.is_floating_point() else t for t in inputs)
    try:
        tested = _results(case, op, inputs, with_gradients)
    except Exception as error:
        return Verdict(False, f"{type(error).__name__}: {' '.join(str(error).split())}")
    theirs = _results(case, stock, inputs, with_gradients)
    truths = _results(case, getattr(reference, case.op), exact_inputs, with_gradients)
    if len(tested) != len(truths):
        return Verdict(False, f"{len(tested)} results, expected {len(truths)}")
    worst, detail = -1.0, ""
    for (name, ours), (_, stocks), (_, truth) in zip(tested, theirs, truths, strict=True):
        if not isinstance(ours, Tensor):
            return Verdict(False, f"{name} is {ours!r}, expected a tensor")
        if ours.shape != truth.shape:
            return Verdict(False, f"{name} has shape {tuple(ours.shape)}, expected {tuple(truth.shape)}")
        factor = OUTPUT_FACTOR if name.startswith("output") else GRADIENT_FACTOR
        allowed = factor * max_error(stocks, truth) + torch.finfo(dtype).eps / 2 * truth.abs().max().item()
        found = max_error(ours, truth)
        if found != found:  # NaN: no other result can make up for it
            return Verdict(False, f"{name} is not a number somewhere")
        share = found / max(allowed, 1e-300)
        if share > worst:
            worst, detail = share, f"{name}: error {found:.3g}, allowed {allowed:.3g}"
    return Verdict(worst <= 1.0, detail)


def max_error(values: Tensor, truth: Tensor) -> float:
    """Return the largest absolute difference from the truth, NaN when any is."""
    return (values.double() - truth).abs().max().item() if truth.numel() else 0.0


def _results(
    case: Case, op: Callable[..., Any], inputs: tuple[Any, ...], with_gradients: bool
) -> list[tuple[str, Any]]:
    leaves = tuple(t.detach().clone().requires_grad_(with_gradients and t.is_floating_point()) for t in inputs)
    outs = outputs(case, op, leaves)
    found = [(f"output {i}", o.detach() if isinstance(o, Tensor) else o) for i, o in enumerate(outs)]
    if with_gradients:
        torch.autograd.backward(outs, gradients(outs))
        found += [(f"gradient {i}", leaf.grad) for i, leaf in enumerate(leaves) if leaf.is_floating_point()]
    return found
