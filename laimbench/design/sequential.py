"""A sweep that designs itself: plan with what is believed, train a part of the plan, fit, and plan the rest of the budget anew.

The first part is cheap runs, which say most about the law for what they cost. Every part after it spends half of what is left, so that an
estimate of costs that is off by a tenth is off by a tenth of ever less.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.special import stdtrit

from laimbench.design.optimal import Candidates, Noise, whole_runs
from laimbench.design.prior import NOISE, plausible_laws
from laimbench.design.quantities import FEWEST, LAW_SIZE, Quantity
from laimbench.design.speedup import Speedup
from laimbench.errors import InputError
from laimbench.laws import Fit, fit_chinchilla

LEVEL = 0.95
MOST_SEEDS = 4
MOST_SHARE = 0.2  # of the budget that one run may take: a failure costs no more
LEAST_SHARE = 1e-3  # below, there would be thousands of runs
SLACK = (
    4.0  # candidates reach this factor beyond both, for a machine that turns out faster or slower than it was measured
)
FIRST_SHARE = 0.25  # of the budget, for the first part
END_SHARE = 0.02  # of the budget that is left unspent where nothing more fits
DRAWS, KEPT_DRAWS = 64, 8  # bootstrap refits after each part, and how many of them are laws to plan with
SOUND = (0.02, 2.0)  # exponents of laws that are planned with
PRIOR_WEIGHT = 5.0  # runs that the prior's noise is worth


@dataclass(frozen=True)
class Space:
    """What may be run: params, tokens, costs (R,), the costs in the budget's unit."""

    params: np.ndarray
    tokens: np.ndarray
    costs: np.ndarray

    def __post_init__(self):
        if not len(self.costs):
            raise InputError("no run fits the budget, expected a larger one")

    @property
    def logs(self) -> tuple[np.ndarray, np.ndarray]:
        return np.log(self.params), np.log(self.tokens)


@dataclass(frozen=True)
class Result:
    """The final loss of one run of a candidate, NaN where it failed. Of a pair the loss is the first side's; log_ratio: of the second side's
    loss to it; log_faster: of the first side's seconds to the second's.
    """

    candidate: int
    seed: int
    loss: float
    log_ratio: float = 0.0
    log_faster: float = 0.0


class Lab(Protocol):
    """What trains: a ladder, or a simulation."""

    def train(self, runs: Sequence[tuple[int, int]]) -> None:
        """Train these (candidate, seed)."""

    def results(self) -> list[Result]:
        """Return what there is."""

    def spent(self) -> float:
        """Return how much of the budget is gone."""


@dataclass(frozen=True)
class Plan:
    """counts (R,) of runs still to be trained; cost of them; half_width: of the interval expected at LEVEL, on the quantity's scale."""

    counts: np.ndarray
    cost: float
    half_width: float
    laws: np.ndarray
    noise: Noise


@dataclass
class Designer:
    """Plans a budget for one quantity. What it believes starts with the prior, and is then what the fit leaves open."""

    space: Space
    quantity: Quantity | Speedup
    budget: float
    laws: np.ndarray = None
    noise: Noise = NOISE
    fit: Fit | None = None
    results: list[Result] = field(default_factory=list)
    done: np.ndarray = field(init=False)
    excluded: np.ndarray = field(init=False)

    def __post_init__(self):
        if self.laws is None:
            self.laws = plausible_laws(*self.space.logs)
        self.done = np.zeros(len(self.space.costs), int)
        self.excluded = np.zeros(len(self.space.costs), bool)

    def plan(self, left: float, cost_scale: float = 1.0) -> Plan:
        """Return the best runs for what is left of the budget; cost_scale: of a run's cost over the space's, as it turned out."""
        costs = self.space.costs * cost_scale
        fitting = (costs >= LEAST_SHARE * self.budget) & (costs <= MOST_SHARE * self.budget) & ~self.excluded
        costs = np.where(fitting, costs, np.inf)
        candidates = Candidates(self.quantity.observed(self.laws, *self.space.logs), self.quantity.gradient(self.laws), costs,
                                self.quantity.noise(self.noise), self.done)  # fmt: skip
        counts = whole_runs(candidates, left, MOST_SEEDS)
        chosen = counts > 0
        cells = np.count_nonzero(chosen | (self.done > 0))
        half = stdtrit(max(cells - self.quantity.size, 1), (1 + LEVEL) / 2) * np.exp(candidates.criterion(counts) / 2)
        return Plan(counts, float(costs[chosen] @ counts[chosen]), float(half), self.laws, self.noise)

    def learn(self, results: Sequence[Result], bootstrap: int = DRAWS) -> None:
        """Take in all results so far."""
        self.results = list(results)
        good = self.good
        self.done = np.bincount([r.candidate for r in good], minlength=len(self.done))
        self.excluded[[r.candidate for r in results if not np.isfinite(r.loss)]] = True
        if np.count_nonzero(self.done) < FEWEST:
            return
        self.fit = fit_results(self.space, good, bootstrap)
        self.noise = noise_of(self.fit, [r.candidate for r in good])
        draws = self.fit.samples
        sound = draws[_is_sound(draws)]
        best = self.fit.theta
        if _is_sound(best) and len(sound) >= KEPT_DRAWS:
            # Spread over the quantity, so that a few stand for all.
            order = (sound[:, 2] if isinstance(self.quantity, Speedup) else self.quantity.value(sound)).argsort()
            self.laws = np.concatenate(
                [best[None], sound[order[np.linspace(0, len(order) - 1, KEPT_DRAWS).astype(int)]]]
            )

    @property
    def good(self) -> list[Result]:
        """The runs that did not fail."""
        return [r for r in self.results if np.isfinite(r.loss)]

    def interval(self) -> tuple[float, float, float]:
        """Return value and ends of the quantity's interval by the fit, on the quantity's scale; NaN without one."""
        if isinstance(self.quantity, Speedup):
            law = self.laws[0] if self.fit is None else self.fit.theta  # without a fit the prior's
            return self.quantity.estimate(law, self.space.logs, self.good, LEVEL)
        if self.fit is None or not len(self.fit.samples):
            return (np.nan,) * 3
        low, high = self.fit.interval(self.quantity.value)
        return float(self.quantity.value(self.fit.theta)), float(low), float(high)


def fit_results(space: Space, results: Sequence[Result], bootstrap: int) -> Fit:
    """Fit the law to final losses; seeds of one configuration are no independent runs."""
    index = np.array([r.candidate for r in results])
    return fit_chinchilla(
        space.params[index], space.tokens[index], [r.loss for r in results], bootstrap=bootstrap, clusters=index
    )


def _is_sound(laws: np.ndarray) -> np.ndarray:
    """Say of which laws (..., 5) loss falls with size and with tokens, and neither at once nor hardly ever."""
    exponents = laws[..., [2, 4]]
    return ((exponents > SOUND[0]) & (exponents < SOUND[1])).all(-1)


def noise_of(fit: Fit, labels: Sequence[int]) -> Noise:
    """Return the noise that residuals show, drawn towards the prior's as if that were PRIOR_WEIGHT runs."""
    labels, errors = np.asarray(labels), fit.residuals
    _, cell, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.bincount(cell, errors) / counts
    within = _drawn(((errors - means[cell]) ** 2).sum(), len(errors) - len(counts), NOISE.within)
    between = (
        _drawn((means**2).sum(), len(counts) - LAW_SIZE, np.hypot(NOISE.between, NOISE.within))
        - within * (1 / counts).mean()
    )
    return Noise(float(np.sqrt(within)), float(np.sqrt(max(between, (0.3 * NOISE.between) ** 2))))


def _drawn(squares: float, degrees: int, prior: float) -> float:
    return (squares + PRIOR_WEIGHT * prior**2) / (max(degrees, 0) + PRIOR_WEIGHT)


def part_of(
    plan: Plan, space: Space, results: Sequence[Result], most: float, cheapest_first: bool, cost_scale: float
) -> list[tuple[int, int]]:
    """Return the runs (candidate, seed) of a plan to train next: at least one, then more up to a cost of ``most``. Seeds are the first free."""
    sign, taken = 1 if cheapest_first else -1, {(r.candidate, r.seed) for r in results}
    runs = []
    for run in np.flatnonzero(plan.counts):
        free = [(run, seed) for seed in range(MOST_SEEDS) if (run, seed) not in taken]
        runs += free[: plan.counts[run]]
    runs.sort(key=lambda run: (sign * space.costs[run[0]], run))
    costs = np.cumsum([space.costs[run] * cost_scale for run, _ in runs])
    return [(int(run), int(seed)) for run, seed in runs[: max(1, int(np.searchsorted(costs, most, side="right")))]]


def run_sequentially(
    designer: Designer, lab: Lab, tell: Callable[[Plan, float], None] = lambda plan, spent: None
) -> None:
    """Spend the budget, part by part; ``tell`` hears of every plan before its first part is trained.

    The lab's results at the beginning count: what was trained before is not trained again.
    """
    designer.learn(lab.results())
    cost_scale, first, known = 1.0, not designer.done.any(), len(lab.results())
    while True:
        spent = lab.spent()
        left = designer.budget - spent
        plan = designer.plan(left, cost_scale)
        if left < END_SHARE * designer.budget or not plan.counts.any():
            return
        tell(plan, spent)
        part = part_of(
            plan, designer.space, designer.results, FIRST_SHARE * left if first else left / 2, first, cost_scale
        )
        lab.train(part)
        expected = sum(designer.space.costs[run] for run, _ in part)
        paid = lab.spent() - spent
        # What one part cost is noisy: half of what it says is believed.
        cost_scale = np.sqrt(cost_scale * max(paid / expected, 0.1)) if not first else max(paid / expected, 0.1)
        first, results = False, lab.results()
        if len(results) == known:
            return  # nobody trained anything
        known = len(results)
        designer.learn(results)


def candidate_tokens(cost_of: Callable[[float], float], budget: float, least: float, most: float) -> list[float]:
    """Return token counts for one size, a factor of sqrt(2) apart, from ``least`` to ``most``, whose cost is, or may turn out to be, a fit
    share of the budget.
    """
    counts, tokens = [], least
    while tokens <= most:
        if LEAST_SHARE / SLACK * budget <= cost_of(tokens) <= MOST_SHARE * SLACK * budget:
            counts.append(tokens)
        tokens *= np.sqrt(2)
    return counts
