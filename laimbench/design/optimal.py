"""c-optimal designs: which runs, how often, so that one quantity of a model is known best for a budget.

Of a model with gradient f (M,) of its mean at each candidate run, the information of a design is M = sum of w f f', and the variance of a
quantity with gradient g is g' M^-1 g. A model that is not linear has another f and g at each of its parameters, so what is minimised is the
mean log variance over K models that are all plausible (Chaloner & Larntz 1989). Runs are whole: the design is filled greedily, then every run
is taken out and its cost spent anew as long as that helps (Fedorov 1972), all by rank-one updates.

Sources: Elfving 1952, Chernoff 1953 (locally optimal designs for one quantity); Kiefer & Wolfowitz 1959.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from laimbench.errors import InputError

RIDGE = 1e-9  # of each parameter's largest information: a direction left open is a bad design and no division by zero
PASSES = 2  # over all runs, of taking out and spending anew
ENOUGH = 1e-4  # of mean log variance, below which another pass is not worth its time


@dataclass(frozen=True)
class Noise:
    """Standard deviations of log loss: ``within`` among the seeds of one configuration, ``between`` of configurations from the law."""

    within: float
    between: float

    def __post_init__(self):
        if not (self.within >= 0 and self.between >= 0 and 0 < self.within + self.between < np.inf):
            raise InputError(f"noise is {self.within} within and {self.between} between, expected numbers of 0 or more")

    def precision(self, counts: np.ndarray) -> np.ndarray:
        """Return 1 / variance of the mean of so many seeds (R,); 0 without one."""
        return counts / np.maximum(counts * self.between**2 + self.within**2, 1e-300)

    @property
    def one(self) -> float:
        """Standard deviation of a single run."""
        return float(np.hypot(self.within, self.between))


@dataclass(frozen=True)
class Candidates:
    """What may be run, and what it says.

    gradients (K, R, M): of the mean of a run's observation, under each of K models; wanted (K, M): of the quantity; costs (R,): of one run, in
    the budget's unit, infinite where it cannot be run; done (R,): runs that there are already.
    """

    gradients: np.ndarray
    wanted: np.ndarray
    costs: np.ndarray
    noise: Noise
    done: np.ndarray

    def __post_init__(self):
        models, runs, size = self.gradients.shape
        for name, shape in {"wanted": (models, size), "costs": (runs,), "done": (runs,)}.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        if not (self.costs > 0).all():
            raise InputError("costs hold a value that is not positive")

    def inverse(self, counts: np.ndarray) -> np.ndarray:
        """Return M^-1 (K, M, M) after runs ``counts`` (R,) more."""
        weighted = self.gradients * self.noise.precision(self.done + counts)[:, None]
        largest = (self.gradients**2).max(1) / self.noise.one**2
        ridge = RIDGE * np.maximum(largest, 1e-300)[..., None] * np.eye(largest.shape[-1])
        return np.linalg.inv(self.gradients.swapaxes(1, 2) @ weighted + ridge)

    def variances(self, counts: np.ndarray) -> np.ndarray:
        """Return the variance (K,) of the quantity after runs ``counts`` (R,) more, under each model."""
        return np.einsum("km,kmn,kn->k", self.wanted, self.inverse(counts), self.wanted)

    def criterion(self, counts: np.ndarray) -> float:
        """Return the mean log variance over the models."""
        return float(np.log(self.variances(counts)).mean())

    def gains(self, inverse: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return by how much the criterion falls with ``weights`` (R,) more information from each run alone (Sherman & Morrison)."""
        pull = (self.wanted[:, None] @ inverse)[:, 0]
        variance = (pull * self.wanted).sum(-1)
        aligned = (self.gradients @ pull[..., None])[..., 0] ** 2
        lengths = (self.gradients @ inverse * self.gradients).sum(-1)
        fall = weights * aligned / (1 + weights * lengths) / variance[:, None]
        return -np.log1p(-np.minimum(fall, 1 - 1e-12)).mean(0)


def whole_runs(candidates: Candidates, budget: float, most_seeds: int) -> np.ndarray:
    """Return how often each candidate is to be run, (R,) integers, for at most ``budget`` in all; at most ``most_seeds`` with those done."""
    none = np.zeros(len(candidates.costs), int)
    begun = [_fill(candidates, none, budget, most_seeds, by_cost) for by_cost in (True, False)]
    counts = min(begun, key=candidates.criterion)
    best = candidates.criterion(counts)
    for _ in range(PASSES):
        before = best
        for run in sorted(np.flatnonzero(counts), key=lambda run: -candidates.costs[run]):
            if not counts[run]:
                continue  # an exchange before this one took it
            for by_cost, fewer in product((False, True), {1, int(counts[run])}):
                changed = counts.copy()
                changed[run] -= fewer
                changed = _fill(candidates, changed, budget, most_seeds, by_cost)
                found = candidates.criterion(changed)
                if found < best - 1e-9:
                    counts, best = changed, found
                    break
        if before - best < ENOUGH:
            break
    return counts


def _fill(candidates: Candidates, counts: np.ndarray, budget: float, most_seeds: int, by_cost: bool) -> np.ndarray:
    """Add the run that gains most, for its cost or at all, until none fits."""
    counts, costs, precision = counts.copy(), candidates.costs, candidates.noise.precision
    left = budget - costs[counts > 0] @ counts[counts > 0]
    inverse = candidates.inverse(counts)
    while True:
        total = candidates.done + counts
        fitting = (costs <= left) & (total < most_seeds)
        if not fitting.any():
            return counts
        weights = precision(total + 1) - precision(total)
        gains = candidates.gains(inverse, weights)
        run = int(np.where(fitting, gains / costs if by_cost else gains, -np.inf).argmax())
        gradient = candidates.gradients[:, run]
        moved = (inverse @ gradient[..., None])[..., 0]
        scale = weights[run] / (1 + weights[run] * (moved * gradient).sum(-1))
        inverse = inverse - scale[:, None, None] * moved[:, :, None] * moved[:, None, :]
        counts[run] += 1
        left -= costs[run]
