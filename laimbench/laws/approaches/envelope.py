"""Approach 1: the envelope of training curves.

At each compute C the run of least loss among all that have come so far gives N_opt(C) and, by the tokens it has seen there, D_opt(C);
lines through log N_opt and log D_opt over log C give the exponents. Source: Hoffmann et al. 2022 (arXiv:2203.15556), section 3.1, who
take 1,500 values of C. Where the best run is of the smallest or the largest size that reaches C, the optimum may lie beyond: no optimum.

The envelope is a staircase: one size is best over a stretch of compute. Resamples that lack a run have longer steps, so that the bootstrap's
shift is that of coarser steps and not the estimator's bias, and BCa, which would take it off, covers too rarely. Intervals are the plain
percentiles, which cover too often where sizes are few.

It takes a loss in the middle of a run for what a run of that length would end with, which a learning rate still high makes untrue.
"""

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.approaches.frontier import RATIOS, Absent, Estimate, Frontier, Point, Refusal
from laimbench.laws.approaches.rows import Rows
from laimbench.laws.intervals import LEVEL

POINTS = 300
LEAST_SIZES = 3
LEAST_SAMPLES = 20  # of the bootstrap with an envelope, for an interval
OK, FEW, SMALLEST, LARGEST = range(4)
REASONS = {
    FEW: f"fewer than {LEAST_SIZES} sizes have runs there",
    SMALLEST: "the best run is of the smallest size there: the optimum may be smaller still",
    LARGEST: "the best run is of the largest size there: the optimum may be larger still",
}


def fit_envelope(
    rows: Rows, *, points: int = POINTS, smooth: float = 0.0, bootstrap: int = 400, seed: int = 0, level: float = LEVEL
) -> Frontier | Absent:
    """Return the frontier by the envelope.

    Args:
        rows: evaluations of runs; column run labels them.
        points: values of compute, evenly spaced in log C over what the runs cover.
        smooth: width in decades of compute over which each curve is smoothed (a line by Gaussian weights), 0 for interpolation alone.
        bootstrap: resamples of whole runs for the intervals, 0 for none.

    Raises:
        InputError: smooth below 0, or fewer than 10 points.
    """
    if not smooth >= 0 or points < 10:
        raise InputError(f"smooth is {smooth} and points {points}, expected 0 or more, and 10 at least")
    if not rows.has_curves:
        return Absent(1, "no training curves: it needs a column run and several evaluations of each run")
    log_c = np.log(rows["flops"])
    grid = np.linspace(log_c.min(), log_c.max(), points)
    curves = _Curves.of(rows, grid, smooth)
    everything = np.flatnonzero(np.isfinite(curves.loss).any(1))  # a run of one row is on no point of the grid
    if len(everything) < LEAST_SIZES:
        return Absent(1, f"{len(everything)} runs have a curve, expected {LEAST_SIZES} at least")
    best, state = curves.envelope(everything)
    refused = _refusals(grid, state)
    sizes = len(np.unique(curves.sizes[best[state == OK]]))
    if sizes < LEAST_SIZES:
        return Absent(1, f"the envelope has {sizes} sizes between others, expected {LEAST_SIZES} at least", refused)
    lines = curves.lines(everything)
    generator = np.random.default_rng(seed)
    runs = len(everything)
    samples = np.array([curves.lines(generator.choice(everything, runs)) for _ in range(bootstrap)]).reshape(-1, 2, 2)
    found = samples[np.isfinite(samples[:, 0, 0])]
    notes = [f"intervals: bootstrap over {runs} runs"] if bootstrap else []
    if len(found) < 0.95 * bootstrap:
        notes.append(f"{bootstrap - len(found)} of {bootstrap} resamples had no envelope: the intervals leave them out")

    def interval(quantity) -> Estimate:
        return Estimate.of(quantity(lines), quantity(found) if len(found) >= LEAST_SAMPLES else [], level)

    def estimate(compute: float) -> tuple[Estimate, Estimate, Estimate]:
        x = np.array([1.0, np.log(compute) - grid.mean()])
        return tuple(interval(lambda at, c=c: np.exp(at @ x @ c)) for c in RATIOS)

    inside = np.flatnonzero(state == OK)
    return Frontier(
        number=1,
        a=interval(lambda at: at[..., 0, 1]),
        b=interval(lambda at: at[..., 1, 1]),
        domain=(float(np.exp(grid[inside[0]])), float(np.exp(grid[inside[-1]]))),
        points=tuple(
            Point(
                float(np.exp(grid[i])),
                Estimate(float(np.exp(curves.params[best[i]]))),
                Estimate(float(np.exp(curves.tokens[best[i], i]))),
                float(np.exp(curves.loss[best[i], i])),
            )
            for i in inside
        ),
        refused=refused,
        notes=tuple(notes),
        estimate=estimate,
    )


class _Curves:
    """Runs on the grid of compute: loss and tokens (runs, grid) as logarithms, infinite and NaN where a run is not; params, sizes (runs,)."""

    def __init__(self, grid, loss, tokens, params, sizes):
        self.grid, self.loss, self.tokens, self.params, self.sizes = grid, loss, tokens, params, sizes
        self.centred = grid - grid.mean()

    @classmethod
    def of(cls, rows: Rows, grid: np.ndarray, smooth: float) -> "_Curves":
        labels, log_c, log_d, log_l = rows.labels, np.log(rows["flops"]), np.log(rows["tokens"]), np.log(rows["loss"])
        order = np.lexsort((log_c, labels))
        parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
        loss, tokens = np.full((len(parts), len(grid)), np.inf), np.full((len(parts), len(grid)), np.nan)
        for i, part in enumerate(parts):
            covered = (grid >= log_c[part[0]]) & (grid <= log_c[part[-1]])
            tokens[i, covered] = np.interp(grid[covered], log_c[part], log_d[part])
            if smooth and len(part) > 2:
                loss[i, covered] = _local_line(grid[covered], log_c[part], log_l[part], smooth * np.log(10))
            else:
                loss[i, covered] = np.interp(grid[covered], log_c[part], log_l[part])
        first = [part[0] for part in parts]
        return cls(grid, loss, tokens, np.log(rows["params"][first]), rows.sizes[first])

    def envelope(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the best of the chosen runs at each compute, and whether it is an optimum there, (grid,) each."""
        loss = self.loss[chosen]
        there = np.isfinite(loss)
        best = chosen[loss.argmin(0)]
        sizes = self.sizes[chosen][:, None]
        least = np.where(there, sizes, np.iinfo(int).max).min(0)
        most = np.where(there, sizes, -1).max(0)
        size, state = self.sizes[best], np.full(len(self.grid), OK)
        state[size == most], state[size == least] = LARGEST, SMALLEST
        between = (there & (sizes > least) & (sizes < most)).any(0)  # with least and most that makes three
        state[~between] = FEW
        return best, state

    def lines(self, chosen: np.ndarray) -> np.ndarray:
        """Return level and slope of log N_opt and of log D_opt, (2, 2), at the middle of the grid; NaN where there are too few sizes."""
        best, state = self.envelope(chosen)
        inside = state == OK
        if len(np.unique(self.sizes[best[inside]])) < 2:
            return np.full((2, 2), np.nan)
        x = self.centred[inside]
        y = np.stack([self.params[best[inside]], self.tokens[best[inside], np.flatnonzero(inside)]])
        slope = ((y - y.mean(1, keepdims=True)) * (x - x.mean())).sum(1) / ((x - x.mean()) ** 2).sum()
        return np.stack([y.mean(1) - slope * x.mean(), slope], axis=1)


def _local_line(at: np.ndarray, x: np.ndarray, y: np.ndarray, width: float) -> np.ndarray:
    """Return at each of ``at`` the value of a line through (x, y) by Gaussian weights: unlike a mean it is not biased at a curve's end."""
    distance = x - at[:, None]
    weights = np.exp(-0.5 * (distance / width) ** 2) + 1e-12  # far from all rows: the line through all of them
    total, first, second = weights.sum(1), (weights * distance).sum(1), (weights * distance**2).sum(1)
    value, moment = weights @ y, (weights * distance) @ y
    spread = total * second - first**2
    flat = spread <= 1e-12 * total * second
    return np.where(flat, value / total, (second * value - first * moment) / np.where(flat, 1.0, spread))


def _refusals(grid: np.ndarray, state: np.ndarray) -> tuple[Refusal, ...]:
    """Return each stretch of compute that is refused for one reason."""
    parts = np.split(np.arange(len(grid)), np.flatnonzero(np.diff(state)) + 1)
    return tuple(
        Refusal(float(np.exp(grid[p[0]])), float(np.exp(grid[p[-1]])), len(p), REASONS[state[p[0]]])
        for p in parts
        if state[p[0]] != OK
    )
