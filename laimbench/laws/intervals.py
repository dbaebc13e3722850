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
MOST_GROUPS = 200  # of the jackknife: more rows are left out in groups,
LEAST_GROUPS, GROUPED_ELEMENTS = 20, 4_000_000  # and of long tables in fewer, larger ones, for the time's sake
MOST_BIAS = 0.5  # z0, in standard errors
MOST_KEPT = 30_000_000  # counts of a bootstrap that are drawn once and kept; of larger ones they are drawn where they are needed


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
    problem: Problem,
    theta: np.ndarray,
    weights: np.ndarray,
    labels: np.ndarray | None,
    plan: Resampling,
    pool: np.ndarray | None = None,
) -> np.ndarray:
    """Return the refits (samples, M) of resampled tables, each from the optimum theta (M,), or from one at random of a pool (K, M) of
    optima where the data leave several.

    Rows without weight are no runs: they are not drawn. Every sample has a generator of its own, so that tables of any size are drawn part by
    part.
    """
    pool = theta[None] if pool is None else pool
    starts = pool[np.random.default_rng(plan.seed).integers(len(pool), size=plan.samples)]
    units, unit = independent_units(weights, labels)
    if plan.kind == "parametric":
        targets = _parametric(problem, theta, weights > 0, units, unit, plan)
        return solve(problem, starts, lambda chosen: weights[None], stages=FROM_NEAR, targets=targets)[0]

    def draw(i: int) -> np.ndarray:
        picked = np.random.default_rng((plan.seed, i)).integers(0, units, units)
        return np.bincount(picked, minlength=units).astype(np.uint32)

    kept = np.array([draw(i) for i in range(plan.samples)]) if plan.samples * units <= MOST_KEPT else None

    def counts(chosen: np.ndarray) -> np.ndarray:
        drawn = kept[chosen] if kept is not None else np.array([draw(i) for i in chosen])
        return weights * drawn[:, unit]

    return solve(problem, starts, counts, stages=FROM_NEAR)[0]


def independent_units(weights: np.ndarray, labels: np.ndarray | None) -> tuple[int, np.ndarray]:
    """Return how many independent runs have weight, and the number of each row's (R,); 0 for rows without weight."""
    used = weights > 0
    names, of_used = np.unique((np.arange(len(weights)) if labels is None else labels)[used], return_inverse=True)
    unit = np.zeros(len(weights), int)
    unit[used] = of_used.ravel()
    return len(names), unit


def _parametric(problem: Problem, theta, used: np.ndarray, units: int, unit: np.ndarray, plan: Resampling):
    """Return what gives new losses: the law's, plus a cluster's mean residual, plus a row's residual from its cluster's mean. (A row without
    a cluster is its own.)
    """
    value = problem.form.evaluate(theta[None], problem.design)[0][0]
    # Residuals of a fit are smaller than the errors by as many degrees of freedom as parameters are free.
    rows = int(used.sum())
    errors = (problem.y - value)[used] * np.sqrt(rows / max(1, rows - int(problem.free.sum())))
    means = np.bincount(unit[used], errors, units) / np.bincount(unit[used], minlength=units)
    within = errors - means[unit[used]]

    def targets(chosen: np.ndarray) -> np.ndarray:
        y = np.tile(value, (len(chosen), 1))
        for row, i in enumerate(chosen):
            rng = np.random.default_rng((plan.seed, i))
            y[row, used] += means[rng.integers(0, units, units)][unit[used]] + within[rng.integers(0, rows, rows)]
        return y

    return targets


def jackknife(
    problem: Problem, theta: np.ndarray, weights: np.ndarray, labels: np.ndarray | None, seed: int = 0
) -> np.ndarray:
    """Return the refits (groups, M) with one row, cluster or group of rows left out at a time."""
    groups, group = independent_units(weights, labels)
    most = int(np.clip(GROUPED_ELEMENTS // len(problem.y), LEAST_GROUPS, MOST_GROUPS))
    if groups > most:
        group = np.random.default_rng(seed).permutation(groups)[group] % most
        groups = most
    return solve(
        problem, np.tile(theta, (groups, 1)), lambda chosen: weights * (group != chosen[:, None]), stages=FROM_NEAR
    )[0]


def bca_interval(estimate: Any, samples: Any, left_out: Any, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper end, (...,) each, of a quantity's estimate (...,), bootstrap (B, ...) and jackknife values (J, ...).

    The interval holds the estimate, and percentiles too where the bias is beyond what BCa is an expansion in. Infinite values (an optimum that is not there) are ends like others.

    Raises:
        InputError: a level outside of 0 to 1.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}, expected a number between 0 and 1")
    estimate, samples, left_out = (np.asarray(a, dtype=float) for a in (estimate, samples, left_out))
    count = len(samples)
    if not count:
        raise InputError("no bootstrap samples, expected one or more")
    below = ((samples < estimate).mean(0) + (samples <= estimate).mean(0)) / 2
    bias = ndtri(np.clip(below, 1 / (count + 1), count / (count + 1)))
    with np.errstate(invalid="ignore"):
        pull = left_out.mean(0) - left_out
    largest = np.abs(pull).max(0)
    sound = np.isfinite(largest) & (largest > 0)  # without a jackknife there is no skewness to correct
    pull = np.divide(pull, largest, out=np.zeros_like(pull), where=sound)
    acceleration = (pull**3).sum(0) / (6 * np.where(sound, (pull**2).sum(0), 1.0) ** 1.5)
    ends, plain = [], []
    for z in ndtri([(1 - level) / 2, (1 + level) / 2]):
        moved = bias + z
        # Beyond a pole of the correction (never met by sound data) the outermost sample is the honest end.
        share = ndtr(bias + moved / np.maximum(1 - acceleration * moved, 1e-3))
        ends.append(_quantile(samples, share))
        plain.append(_quantile(samples, np.full(np.shape(share), ndtr(z))))
    doubtful = np.abs(bias) > MOST_BIAS
    lower = np.where(doubtful, np.minimum(ends[0], plain[0]), ends[0])
    upper = np.where(doubtful, np.maximum(ends[1], plain[1]), ends[1])
    return np.minimum(lower, estimate), np.maximum(upper, estimate)


def _quantile(samples: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return quantiles along the first axis, another share for each column."""
    ordered = np.sort(samples, axis=0).reshape(len(samples), -1)
    place = np.clip(np.ravel(share) * (len(samples) + 1) - 1, 0, len(samples) - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, len(samples) - 1)
    column = np.arange(ordered.shape[1])
    lower, upper = ordered[low, column], ordered[high, column]
    part = place - low
    with np.errstate(invalid="ignore"):
        between = (1 - part) * lower + part * upper
    return np.where((lower == upper) | (part == 0), lower, between).reshape(np.shape(share))
