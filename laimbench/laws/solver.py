"""Minimise sums of losses of residuals, many problems at once: damped Newton on exact Hessians.

A problem is theta and its weights of the rows; starts and bootstrap samples are the leading axis of one batch, cut into parts that fit
the cache and shared between threads (NumPy lets go of the interpreter's lock). A narrow Huber loss makes Newton crawl from afar: its
curvature is zero at all but a few rows. So a start goes through losses of falling scale to the one asked for (graduated optimisation,
Blake & Zisserman 1987), and starts that have met go on as one.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from laimbench.cores import usable_cores
from laimbench.laws.forms.base import Form
from laimbench.laws.losses import Loss

# Passes at a wider loss, and at the one asked for, where slow problems are seen to their end; between them what is not done is packed anew.
PASSES, LAST_PASSES = 8, 32
ITERATIONS = 8  # of a pass
PART_ELEMENTS = 100_000  # problems x rows at a time: long enough for a thread to let go of the interpreter, short enough for the cache
LEAST_ELEMENTS = 8_000  # below, a part is not worth a thread
FEWEST_PARTS = 4  # where there is enough to share
FROM_AFAR = (300.0, 30.0, 6.0, 1.0)  # scales of the loss relative to the one asked for: of starts
FROM_NEAR = (6.0, 1.0)  # of bootstrap samples, which start at the optimum of all rows
THIN_ROWS = 128  # the first way of a start goes by so many rows (20 per parameter at least)
# Decrease still to be had, relative to the objective, at which a wider loss and the last one are done.
NEAR, EXACT = 1e-4, 1e-13
LONGEST_STEP = 3.0  # in a logarithm or exponent: more is a wild guess from a flat place
MEETING = 1e-6  # two starts whose laws differ by no more than this in log loss at all rows have met

Weights = np.ndarray | Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Problem:
    """What all problems of a batch share: form, rows, loss, which parameters move and between which limits.

    log_x (V, R); y (R,) on the form's link scale; free (M,) bool; low, high (M,) limits of theta; unit (M,): what is large for a parameter,
    the typical loss for one that is a loss itself.
    """

    form: Form
    log_x: np.ndarray
    y: np.ndarray
    loss: Loss
    free: np.ndarray
    low: np.ndarray
    high: np.ndarray
    design: Any = field(init=False, repr=False)
    unit: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "design", self.form.design(self.log_x))
        typical = np.exp(np.median(self.y))
        object.__setattr__(
            self, "unit", np.array([typical if p.kind == "offset" else 1.0 for p in self.form.parameters])
        )

    def rows(self, chosen: np.ndarray | slice) -> "Problem":
        return replace(self, log_x=self.log_x[:, chosen], y=self.y[chosen])

    def objective(self, theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the weighted sums of losses (P,) at theta (P, M)."""
        with np.errstate(all="ignore"):
            value, _ = self.form.evaluate(np.atleast_2d(theta), self.design)
            return (weights * self.loss.value(value - self.y)).sum(-1)

    def derivatives(self, theta: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return gradient (M,) and Hessian (M, M) at one theta (M,)."""
        value, state = self.form.evaluate(theta[None], self.design)
        residual = value - self.y
        gradient, hessian = self.form.derivatives(
            state, weights * self.loss.slope(residual), weights * self.loss.curvature(residual)
        )
        return gradient[:, 0], hessian[..., 0]


def solve(
    problem: Problem,
    starts: np.ndarray,
    weights: Weights,
    *,
    stages: tuple[float, ...] = FROM_AFAR,
    targets: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return theta (P, M) and objective (P,) where every start (P, M) leads.

    Args:
        weights: (R,) the same for all, or a function that returns (problems, R), or (1, R), of an array of problem numbers.
        stages: scales of the loss relative to the problem's, on the way.
        targets: with a function as weights, what stands in for y: (problems, R) of an array of problem numbers.
    """
    theta = np.clip(starts, problem.low, problem.high)
    shared = not callable(weights)
    for stage, factor in enumerate(stages):
        last = stage == len(stages) - 1
        at, tolerance = replace(problem, loss=problem.loss.at(factor)), EXACT if last else NEAR
        if not shared:
            theta, value = _descend_all(at, theta, weights, tolerance, targets)
            continue
        of_rows = np.broadcast_to(weights, problem.y.shape)
        rows = slice(None) if stage or last else _thinned(problem, of_rows)
        at, of_rows = at.rows(rows), of_rows[rows][None]
        first, inverse = _meetings(at, theta)
        met, met_value = _descend_all(at, theta[first], lambda chosen, w=of_rows: w, tolerance)
        theta, value = met[inverse], met_value[inverse]
    return theta, value


def _thinned(problem: Problem, weights: np.ndarray) -> np.ndarray | slice:
    """Return the rows by which starts find their way from afar: the same, at random among those with weight, for all."""
    used, wanted = np.flatnonzero(weights), max(THIN_ROWS, 20 * problem.form.size)
    return slice(None) if len(used) <= wanted else np.sort(np.random.default_rng(0).choice(used, wanted, replace=False))


def _meetings(problem: Problem, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return one start of each group that has met, and the group of every start. Starts have met when their laws agree at all rows,
    seen through three random projections; the parameters of a term that has vanished may differ.
    """
    projection = np.random.default_rng(0).normal(size=(len(problem.y), 3)) / np.sqrt(len(problem.y))
    part = max(1, PART_ELEMENTS // len(problem.y))
    with np.errstate(all="ignore"):
        seen = [
            problem.form.evaluate(theta[i : i + part], problem.design)[0] @ projection
            for i in range(0, len(theta), part)
        ]
    rounded = np.round(np.concatenate(seen) / MEETING)
    _, first, inverse = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
    return first, inverse.ravel()


def _descend_all(
    problem: Problem, theta: np.ndarray, weights: Callable, tolerance: float, targets: Callable | None = None
):
    """Return theta and objective after a descent from every theta, in parts of a size that a core likes, on all cores."""
    theta, value, damping = theta.copy(), np.empty(len(theta)), np.full(len(theta), 1e-3)
    open_problems = np.arange(len(theta))
    cores = len(usable_cores())

    def run(chosen: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            y = problem.y if targets is None else targets(chosen)
            at = _descend(problem, y, theta[chosen], damping[chosen], weights(chosen), tolerance)
        theta[chosen], value[chosen], damping[chosen], done = at
        return chosen[~done]

    with ThreadPoolExecutor(cores) as pool:
        for _ in range(LAST_PASSES if tolerance == EXACT else PASSES):
            parts = np.array_split(open_problems, _part_count(len(open_problems), len(problem.y)))
            left = list(pool.map(run, parts)) if len(parts) > 1 else [run(parts[0])]
            open_problems = np.concatenate(left)
            if not len(open_problems):
                break
    return theta, value


def _part_count(problems: int, rows: int) -> int:
    """Return into how many parts of about equal size the problems go. The cores have no say in it, so that results do not depend on them."""
    elements = problems * rows
    return max(1, min(problems, max(-(-elements // PART_ELEMENTS), min(FEWEST_PARTS, elements // LEAST_ELEMENTS))))


def _descend(problem: Problem, y, theta, damping, weights, tolerance: float):
    """Return theta (P, M), objective, damping and whether it is done (P,) after some iterations of damped Newton."""
    form, design = problem.form, problem.design
    reach = form.reach(design) / np.outer(problem.unit, problem.unit)
    nothing = 1e-30 * np.broadcast_to(weights, (len(theta), len(problem.y))).sum(-1)  # residuals of rounding alone

    def look(point):
        value, state = form.evaluate(point, design)
        residual = value - y
        objective = (weights * problem.loss.value(residual)).sum(-1)
        slope = weights * problem.loss.slope(residual)
        gradient, hessian = form.derivatives(state, slope, weights * problem.loss.curvature(residual))
        spring = np.abs(slope).sum(-1) / (np.abs(residual).mean(-1) + 1e-300)  # between a row and the law, times rows
        # A place where powers overflow is no number: the worst there is.
        return np.where(np.isnan(objective), np.inf, objective), gradient, hessian, form.stiffness(state) * spring

    value, gradient, hessian, stiffness = look(theta)
    done = np.zeros(len(theta), bool)
    for _ in range(ITERATIONS):
        step, predicted = _step(problem, theta, gradient, hessian, stiffness, damping, reach)
        trial = _within(problem, theta, step)
        seen = look(trial)
        better = seen[0] < value
        quality = (value - seen[0]) / np.maximum(predicted, 1e-300)
        damping = damping * np.where(better, np.where(quality > 0.5, 0.1, np.where(quality > 0.1, 1.0, 3.0)), 8.0)
        damping = np.maximum(damping, 1e-12)
        theta = np.where(better[:, None], trial, theta)
        value, stiffness = np.where(better, seen[0], value), np.where(better, seen[3], stiffness)
        gradient, hessian = np.where(better, seen[1], gradient), np.where(better, seen[2], hessian)
        done |= (predicted <= tolerance * value) | (value <= nothing) | (damping > 1e10)
        if done.mean() > 0.75:
            break
    return theta, value, damping, done


def _step(problem: Problem, theta, gradient, hessian, stiffness, damping, reach) -> tuple[np.ndarray, np.ndarray]:
    """Return damped Newton steps (P, M), cut to the longest, and the decrease (P,) that the quadratic model predicts.

    A parameter that is fixed, or at a limit with the gradient pushing outwards, stays.
    """
    theta = theta.T
    stays = (
        ~problem.free[:, None]
        | ((theta <= problem.low[:, None]) & (gradient > 0))
        | ((theta >= problem.high[:, None]) & (gradient < 0))
    )
    moves = (~stays).astype(float)
    matrix = (hessian + damping * stiffness) * (moves[:, None] * moves[None])
    diagonal = np.diag_indices(len(matrix))
    # Each pivot against its own parameter's scale: units of the loss and of weights do not matter.
    floor = 1e-14 * (np.abs(matrix[diagonal]) + stiffness[diagonal]) + 1e-300
    matrix[diagonal] += stays
    pull = gradient * moves
    step = -_solve_positive(matrix, pull, floor)
    length = np.sqrt(np.maximum(np.einsum("ip,ip->p", step, reach @ step), 0.0))
    step *= np.minimum(1.0, LONGEST_STEP / np.maximum(length, 1e-300))
    predicted = -(pull * step).sum(0) - 0.5 * (step * (hessian * step).sum(1)).sum(0)
    return step.T, predicted


def _within(problem: Problem, theta: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return theta + step, shortened so that no parameter passes a limit; one that comes to its limit is put there exactly."""
    limit = np.where(step > 0, problem.high, problem.low)
    room = np.abs(limit - theta)
    share = np.where((room > 0) & (step != 0), room / np.maximum(np.abs(step), 1e-300), np.inf).min(1, keepdims=True)
    trial = theta + np.minimum(1.0, share) * step
    trial = np.where(np.abs(limit - trial) <= 1e-12 * (problem.unit + np.abs(theta)), limit, trial)
    return np.clip(trial, problem.low, problem.high)


def _solve_positive(matrix: np.ndarray, right: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Solve symmetric systems, matrix (M, M, P) and right (M, P), by L D L' whose pivots are made at least floor (M, P): where the matrix is not
    positive definite the result is still a direction of descent (Gill, Murray & Wright 1981, section 4.4.2.2).

    All problems at once by columns: LAPACK's call per 5 x 5 matrix would cost more than the arithmetic.
    """
    size = len(matrix)
    lower, pivots = matrix.copy(), np.empty_like(right)
    solution = right.copy()
    for j in range(size):
        pivots[j] = np.maximum(np.abs(lower[j, j]), floor[j])
        factors = lower[j + 1 :, j] / pivots[j]
        lower[j + 1 :, j + 1 :] -= factors[:, None] * lower[j + 1 :, j]
        solution[j + 1 :] -= factors * solution[j]
        lower[j + 1 :, j] = factors
    for j in reversed(range(size)):
        solution[j] = solution[j] / pivots[j] - (lower[j + 1 :, j] * solution[j + 1 :]).sum(0)
    return solution
