"""What a run costs in seconds, from a few steps that were timed.

A step takes seconds = overhead + FLOPs / rate: small models are bound by calls, large ones by products. A run takes, beside its steps, what
its evaluations and its warm-up are worth in steps, and a fixed part (data, model, store).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from laimbench.errors import InputError

FORWARD_SHARE = 1 / 3  # of a step's FLOPs, an evaluation's part
WARM_UP_STEPS = 2  # before a run begins


@dataclass(frozen=True)
class Timing:
    """One size that was timed: FLOPs of a step, seconds of a step, seconds until the first step."""

    flops_per_step: float
    step_s: float
    start_s: float


@dataclass(frozen=True)
class StepCost:
    """overhead_s: of a step; s_per_flop; fixed_s: of a run."""

    overhead_s: float
    s_per_flop: float
    fixed_s: float

    def step_s(self, flops_per_step: float) -> float:
        return self.overhead_s + self.s_per_flop * flops_per_step

    def run_s(self, flops_per_step: float, steps: float, evaluations: int, evaluation_steps: float) -> float:
        """Return the seconds of a run; evaluation_steps: batches of one evaluation."""
        worth = steps + WARM_UP_STEPS + (evaluations + 1) * evaluation_steps * FORWARD_SHARE
        return self.fixed_s + self.step_s(flops_per_step) * worth


def fit_costs(timings: Sequence[Timing], evaluation_steps: float) -> StepCost:
    """Fit overhead and rate, both 0 or more, to relative errors.

    Raises:
        InputError: no timing.
    """
    if not timings:
        raise InputError("no timings, expected one or more")
    flops, seconds = (np.array([getattr(t, name) for t in timings]) for name in ("flops_per_step", "step_s"))
    unit = flops.max()
    design = np.stack([1 / seconds, flops / unit / seconds], axis=1)
    (overhead, per_unit), _ = nnls(design, np.ones(len(timings)))
    warm_up = [t.step_s * (WARM_UP_STEPS + evaluation_steps * FORWARD_SHARE) for t in timings]
    fixed = min(max(t.start_s - spent, 0.0) for t, spent in zip(timings, warm_up, strict=True))
    return StepCost(float(overhead), float(per_unit / unit), float(fixed))
