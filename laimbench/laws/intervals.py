"""Intervals: bootstrap refits, the jackknife, and BCa, which corrects a bootstrap's bias and skew.

Percentiles of a bootstrap are biased where an estimator is (E near its limit 0, exponents of few runs). BCa (Efron 1987, "Better
bootstrap confidence intervals") moves them by z0, from the share of refits below the estimate, and by an acceleration, from the
jackknife's skewness. ``docs/results/calibration.json`` has how often the intervals cover.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from laimbench.errors import InputError
from laimbench.laws.solver import FROM_NEAR, Problem, solve

LEVEL = 0.95
KINDS = ("rows", "clusters", "parametric")
MOST_KEPT = 8_000_000  # samples x groups whose counts are kept in memory; beyond, they are drawn anew
MOST_GROUPS = 200  # of the jackknife: more rows are left out in groups,
LEAST_GROUPS, GROUPED_ELEMENTS = 20, 4_000_000  # and of long tables in fewer, larger ones, for the time's sake


@dataclass(frozen=True)
class Resampling:
    """How the bootstrap draws: kind, number of samples, seed."""

    kind: str = "rows"
    samples: int = 400
    seed: int = 0

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InputError(f"resampling is {self.kind!r}, expected one of {', '.join(KINDS)}")
        if self.samples < 0:
            raise InputError(f"bootstrap is {self.samples}, expected 0 or more")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def resample(
    problem: Problem, theta: np.ndarray, weights: np.ndarray, labels: np.ndarray | None, plan: Resampling
) -> np.ndarray:
    """Return the refits (samples, M) of resampled tables, each from the optimum theta (M,).

    Every sample has a generator of its own, so that tables of any size are drawn part by part.
    """
    starts = np.tile(theta, (plan.samples, 1))
    if plan.kind == "parametric":
        value = problem.form.evaluate(theta[None], problem.design)[0][0]
        # Residuals of a fit are smaller than the errors by as many degrees of freedom as parameters are free.
        degrees = max(1, len(problem.y) - int(problem.free.sum()))
        errors = (problem.y - value) * np.sqrt(len(problem.y) / degrees)

        def targets(chosen: np.ndarray) -> np.ndarray:
            drawn = [np.random.default_rng((plan.seed, i)).integers(0, len(errors), len(errors)) for i in chosen]
            return value + errors[np.array(drawn)]

        return solve(problem, starts, lambda chosen: weights[None], stages=FROM_NEAR, targets=targets)[0]

    groups = len(problem.y) if labels is None else int(labels.max()) + 1

    def draw(chosen: np.ndarray) -> np.ndarray:
        drawn = np.empty((len(chosen), groups))
        for row, i in enumerate(chosen):
            picked = np.random.default_rng((plan.seed, i)).integers(0, groups, groups)
            drawn[row] = np.bincount(picked, minlength=groups)
        return drawn

    # The solver asks for the same samples several times.
    kept = draw(np.arange(plan.samples)) if plan.samples * groups <= MOST_KEPT else None

    def counts(chosen: np.ndarray) -> np.ndarray:
        drawn = draw(chosen) if kept is None else kept[chosen]
        return weights * (drawn if labels is None else drawn[:, labels])

    return solve(problem, starts, counts, stages=FROM_NEAR)[0]


def jackknife(
    problem: Problem, theta: np.ndarray, weights: np.ndarray, labels: np.ndarray | None, seed: int = 0
) -> np.ndarray:
    """Return the refits (groups, M) with one row, cluster or group of rows left out at a time."""
    labels = np.arange(len(problem.y)) if labels is None else labels
    groups = int(labels.max()) + 1
    most = int(np.clip(GROUPED_ELEMENTS // len(labels), LEAST_GROUPS, MOST_GROUPS))
    if groups > most:
        labels = np.random.default_rng(seed).permutation(groups)[labels] % most
        groups = most
    return solve(
        problem, np.tile(theta, (groups, 1)), lambda chosen: weights * (labels != chosen[:, None]), stages=FROM_NEAR
    )[0]


def bca_interval(estimate: Any, samples: Any, left_out: Any, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper end, (...,) each, of a quantity's estimate (...,), bootstrap (B, ...) and jackknife values (J, ...).

    Raises:
        InputError: a level outside of 0 to 1.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}, expected a number between 0 and 1")
    estimate, samples, left_out = (np.asarray(a, dtype=float) for a in (estimate, samples, left_out))
    count = len(samples)
    below = ((samples < estimate).mean(0) + (samples <= estimate).mean(0)) / 2
    bias = ndtri(np.clip(below, 1 / (count + 1), count / (count + 1)))
    pull = left_out.mean(0) - left_out
    spread = np.sqrt((pull**2).sum(0))
    acceleration = np.divide((pull**3).sum(0), 6 * spread**3, out=np.zeros_like(spread), where=spread > 0)
    ends = []
    for z in ndtri([(1 - level) / 2, (1 + level) / 2]):
        moved = bias + z
        # Beyond a pole of the correction (never met by sound data) the outermost sample is the honest end.
        share = ndtr(bias + moved / np.maximum(1 - acceleration * moved, 1e-3))
        ends.append(_quantile(samples, share))
    return ends[0], ends[1]


def _quantile(samples: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return quantiles along the first axis, another share for each column."""
    ordered = np.sort(samples, axis=0).reshape(len(samples), -1)
    place = np.clip(np.ravel(share) * (len(samples) + 1) - 1, 0, len(samples) - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, len(samples) - 1)
    column = np.arange(ordered.shape[1])
    lower, upper = ordered[low, column], ordered[high, column]
    return (lower + (place - low) * (upper - lower)).reshape(np.shape(share))
