"""A whole plan: from a law and a budget to models that can be built, what they cost and what is not known."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.planning.allocation import (
    Allocation,
    Deviation,
    Flops,
    RequiredCompute,
    allocate,
    best_loss,
    best_loss_draws,
    check_compute,
    compute_for_loss,
    deviations,
)  # fmt: skip
from laimbench.laws.planning.budget import GIB, Budget
from laimbench.laws.planning.buildable import GPT2, Architecture, Candidate, candidates
from laimbench.laws.planning.data_limits import DataLimitedLaw, DataLimits, data_limits
from laimbench.laws.planning.inference import InferenceAllocation, allocate_for_inference, tokens_for_loss
from laimbench.laws.planning.law import LEVEL, Estimate, Law
from laimbench.laws.planning.memory import ZERO_STAGES, Memory, training_memory
from laimbench.laws.planning.shapes import Shape, flops_by_convention, padded_vocabulary

FACTORS = (0.5, 1.0, 2.0)
FAR = 10.0  # beyond the data's range by more than this factor a plan is a guess
USABLE = 0.9  # of an accelerator's memory, the rest being fragmentation, buffers and context


@dataclass(frozen=True)
class Training:
    """How a candidate is trained, for the estimate of memory; see ``training_memory``."""

    micro_batch: int = 1
    devices: int = 1
    zero_stage: int = 0
    precision: str = "bf16"


@dataclass(frozen=True)
class Plan:
    """Everything ``make_plan`` found. Parts that do not apply are None or empty.

    compute: training FLOPs planned with, None where the loss wanted is not reachable; loss: expected, best split; allocation: the best split; beyond: by how much each
    variable leaves the data's range (1: within), None where the law does not say its range; memory: of the first candidate,
    kept and checkpointed; fits: the least sharding with which that candidate fits the accelerator, in words.
    """

    law: dict[str, Any]
    convention: str
    counted: str
    compute: float | None
    loss: Estimate
    budget: Budget | None
    unique_tokens: float | None
    required: RequiredCompute | None
    allocation: Allocation | None
    deviations: tuple[Deviation, ...]
    inference: InferenceAllocation | None
    data: DataLimits | None
    candidates: tuple[Candidate, ...]
    memory: tuple[Memory, Memory] | None
    fits: str | None
    beyond: dict[str, float] | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        plain = {k: v for k, v in vars(self).items() if k not in ("memory", "candidates", "deviations", "warnings")}
        return {
            **{k: v.to_dict() if hasattr(v, "to_dict") else v for k, v in plain.items()},
            "deviations": [d.to_dict() for d in self.deviations],
            "candidates": [c.to_dict() for c in self.candidates],
            "memory": self.memory and {"kept": self.memory[0].to_dict(), "checkpointed": self.memory[1].to_dict()},
            "warnings": list(self.warnings),
        }


def make_plan(
    law: Law,
    budget: Budget | None = None,
    *,
    loss: float | None = None,
    served_tokens: float = 0.0,
    unique_tokens: float | None = None,
    architecture: Architecture = GPT2,
    convention: str = "6ND",
    training: Training | None = None,
    limit: int = 6,
    level: float = LEVEL,
) -> Plan:
    """Plan from a budget, or from the loss wanted.

    Args:
        law: in params and tokens; a law in compute alone gives the expected loss or the compute needed, and no models.
        budget: what may be spent on training; exactly one of budget and loss.
        loss: wanted, in nats: the plan is for the least compute that reaches it.
        served_tokens: over the model's life; the model is then the one of the same quality as the training-optimal one that
            is cheapest in total.
        unique_tokens: different tokens there are; None: as many as wanted.
        architecture: of the models to build, and what the law's params count.
        convention: of the training FLOPs in the split: "6ND", "kaplan" or "exact". The models' own FLOPs are always exact.
        training: for the memory.
        limit: how many models.
        level: of all intervals.

    Raises:
        InputError: neither or both of budget and loss; a budget for which there is no optimum or no buildable model.
    """
    if (budget is None) == (loss is None):
        raise InputError("expected exactly one of a budget and a loss")
    flops = flops_by_convention(
        convention, architecture.counted, architecture=architecture.kind,
        vocab_size=padded_vocabulary(architecture.vocab_size), seqlen=architecture.seqlen, tied=architecture.tied,
    )  # fmt: skip
    law_here = law if unique_tokens is None else DataLimitedLaw(law, unique_tokens)
    required = None if loss is None else compute_for_loss(law_here, loss, flops=flops, level=level)
    compute = budget.flops if budget else required.compute.value
    warnings = list(law.warnings)
    if not law.sample_params:
        warnings.append("the law has no bootstrap draws: there are no intervals")
    empty = dict(
        law=law.to_dict(), convention=convention, counted=architecture.counted, budget=budget, required=required, unique_tokens=unique_tokens,
        allocation=None, deviations=(), inference=None, data=None, candidates=(), memory=None, fits=None, beyond=None,
    )  # fmt: skip
    if required and not required.reachable:
        return Plan(**empty, compute=None, loss=Estimate(loss), warnings=tuple(warnings))
    check_compute(compute)
    expected = Estimate.of(
        best_loss(law_here, compute, flops), best_loss_draws(law_here, np.array([compute]), flops)[:, 0], level
    )
    if law.form.variables == ("flops",):
        warnings.append("the law is in compute alone: it does not say how to split it; fit --form chinchilla for that")
        beyond = _beyond(law, {"compute": compute}, warnings)
        return Plan(**{**empty, "beyond": beyond}, compute=compute, loss=expected, warnings=tuple(warnings))

    best = allocate(law_here, compute, flops=flops, level=level)
    inference = None
    if served_tokens:
        inference = allocate_for_inference(law_here, best, served_tokens, flops=flops, level=level)
    chosen = inference or best
    models = candidates(
        law_here, chosen.params.value, _tokens_of(law_here, compute, inference, architecture, flops), architecture,
        served_tokens=served_tokens, devices=training.devices if training else 1, limit=limit, level=level,
    )  # fmt: skip
    found = {
        "allocation": best,
        "deviations": deviations(law_here, best, FACTORS, flops=flops, level=level),
        "inference": inference,
        "data": None if unique_tokens is None else _limits(law, compute, unique_tokens, flops, level),
        "candidates": tuple(models),
        "beyond": _beyond(
            law, {"params": chosen.params.value, "tokens": chosen.tokens.value, "compute": compute}, warnings
        ),
    }
    setting = training or Training()
    memory = tuple(_memory(models[0].shape, setting, setting.zero_stage, keep) for keep in (False, True))
    fits = (
        _fits(models[0].shape, setting, budget) if budget and budget.accelerator and budget.accelerator.memory else None
    )
    return Plan(**{**empty, **found, "memory": memory, "fits": fits}, compute=compute, loss=expected,
                warnings=tuple(warnings))  # fmt: skip


def beyond_range(value: float, low: float, high: float) -> float:
    """Return by which factor a value leaves a range; 1 within."""
    return max(value / high, low / value, 1.0)


def _beyond(law: Law, values: dict[str, float], warnings: list[str]) -> dict[str, float] | None:
    """Return how far the plan leaves the data, and warn where that is far."""
    if law.domain is None:
        warnings.append("the law does not say the range of its data: how far this extrapolates is not known")
        return None
    ranges = {("compute" if name == "flops" else name): ends for name, ends in law.domain.items()}
    found = {name: beyond_range(value, *ranges[name]) for name, value in values.items() if name in ranges}
    for name, factor in found.items():
        if factor > FAR:
            low, high = ranges[name]
            warnings.append(
                f"{name} {values[name]:.3g} is a factor of {factor:.3g} outside the data ({low:.3g} to {high:.3g}): "
                "the interval takes the law's form for granted there"
            )
    return found


def _limits(law: Law, compute: float, unique_tokens: float, flops: Flops, level: float) -> DataLimits:
    return data_limits(law, allocate(law, compute, flops=flops, level=level), unique_tokens, flops=flops, level=level)


def _tokens_of(
    law: Law, compute: float, inference: InferenceAllocation | None, architecture: Architecture, flops: Flops
):
    """Return how a shape's training tokens follow: from the budget, or from the quality wanted."""
    if inference is None:
        return lambda shape: compute / shape.training_flops_per_token
    return lambda shape: float(tokens_for_loss(law, shape.counted(architecture.counted), inference.loss, flops)[0])


def _memory(shape: Shape, setting: Training, zero_stage: int, checkpointing: bool) -> Memory:
    return training_memory(shape, micro_batch=setting.micro_batch, devices=setting.devices, zero_stage=zero_stage,
                           precision=setting.precision, checkpointing=checkpointing)  # fmt: skip


def _fits(shape: Shape, setting: Training, budget: Budget) -> str:
    """Say the first way, from the cheapest, in which a training step fits the accelerator."""
    device = budget.accelerator
    for checkpointing in (False, True):
        for stage in ZERO_STAGES if setting.devices > 1 else (0,):
            memory = _memory(shape, setting, stage, checkpointing)
            if memory.total <= USABLE * device.memory:
                how = f"ZeRO stage {stage}" if setting.devices > 1 else "one device"
                return (
                    f"fits {device.name} ({device.memory / GIB:.0f} GiB) on {setting.devices} with {how}, activations "
                    f"{'checkpointed' if checkpointing else 'kept'}: {memory.total / GIB:.1f} GiB"
                )
    least = min(_memory(shape, setting, stage, True).total for stage in ZERO_STAGES)
    return (
        f"does not fit {device.name} ({device.memory / GIB:.0f} GiB) by data parallelism over {setting.devices}: "
        f"{least / GIB:.1f} GiB at best; more devices, or tensor or pipeline parallelism"
    )
