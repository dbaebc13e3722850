"""What the objective itself says of uncertainty: quasi-likelihood ratios, profiles, and the delta method.

A sum of robust losses is no likelihood, but twice its excess over the optimum, times kappa = E[psi'] / E[psi^2] of the residuals, is
distributed as chi-squared (Ronchetti 1982; Heritier & Ronchetti 1994). psi' of a narrow Huber loss is seen by few rows, so that its mean is
taken as a difference of psi over a bandwidth. Weights are relative, as in weighted least squares: their scale cancels. Rows in clusters
count as the fit's effective number of runs (a design effect, Kish 1965; of likelihood ratios, Rao & Scott 1981).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import chdtri, stdtrit

from laimbench.errors import InputError
from laimbench.laws.solver import Problem, solve

if TYPE_CHECKING:
    from laimbench.laws.fit import Fit

POINTS = 41  # of a profile
FLAT = 1e-16  # the least eigenvalue of the scaled information, relative to the greatest, that rounding lets through


def kappa(problem: Problem, theta: np.ndarray, weights: np.ndarray) -> float:
    """Return E[psi'] / E[psi^2] at theta (M,), corrected for the free parameters; infinite when every residual is nil."""
    bend, square = moments(problem, theta, weights)
    return bend / square if square > 0 else np.inf


def moments(problem: Problem, theta: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return the means E[psi'] and E[w psi^2] over rows with weight, the latter for the degrees of freedom that are left."""
    used = weights > 0
    value = problem.form.evaluate(theta[None], problem.design)[0][0]
    residual, weights, slope = (value - problem.y)[used], weights[used], problem.loss.slope
    rows, degrees = len(residual), max(len(residual) - int(problem.free.sum()), 1)
    errors = residual * np.sqrt(
        rows / degrees
    )  # a fit passes nearer to its rows than the truth does, a robust one through some of them
    spread = 1.4826 * np.median(np.abs(errors)) or np.abs(errors).max()
    if spread == 0:
        return 1.0, 0.0
    width = 1.06 * spread * rows**-0.2  # Silverman's rule
    bend = (weights * (slope(errors + width) - slope(errors - width))).sum() / (2 * width * weights.sum())
    square = (weights * slope(residual) ** 2).sum() / degrees
    return float(bend), float(square)


def design_effect(fit: "Fit") -> float:
    """Return by how much clusters widen variances: the runs that the weights are worth over the effective number of runs."""
    return float(fit.weights.sum() ** 2 / (fit.weights**2).sum() / fit.effective_runs)


def ratio(problem: Problem, theta: np.ndarray, weights: np.ndarray, objectives: np.ndarray) -> np.ndarray:
    """Return the quasi-likelihood ratio of objectives (P,) against the optimum theta: chi-squared where the truth is there."""
    excess = np.maximum(objectives - problem.objective(theta, weights)[0], 0.0)
    return np.where(excess > 0, 2 * np.minimum(kappa(problem, theta, weights), 1e300) * excess, 0.0)


def held(problem: Problem, theta: np.ndarray, weights: np.ndarray, index: int, values: np.ndarray, path=None):
    """Return refits (P, M) and objectives (P,) with one parameter held at values (P,) of theta; they start at theta, or along a path (M,) by
    which the others go with it.
    """
    free = problem.free.copy()
    free[index] = False
    starts = np.tile(theta, (len(values), 1)) if path is None else theta + np.outer(values - theta[index], path)
    starts[:, index] = values
    low, high = problem.low.copy(), problem.high.copy()
    low[index], high[index] = min(low[index], values.min()), max(high[index], values.max())
    at = Problem(problem.form, problem.log_x, problem.y, problem.loss, free, low, high)
    return solve(at, starts, lambda chosen: weights[None], stages=(30.0, 6.0, 1.0))


@dataclass(frozen=True)
class Profile:
    """The profile of one parameter: values (K,) and quasi-likelihood ratios (K,); the interval's end is None where it is open."""

    name: str
    values: np.ndarray
    ratios: np.ndarray
    interval: tuple[float | None, float | None]
    level: float

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "values": self.values.tolist(), "ratios": self.ratios.tolist(),
                "interval": list(self.interval), "level": self.level}  # fmt: skip


def profile(fit: "Fit", name: str, *, level: float = 0.95) -> Profile:
    """Return the profile of a parameter: the best objective with it held at each value of a range.

    The range grows until the ratio passes the threshold, or ends at the parameter's limit: there the interval is open.

    Raises:
        InputError: an unknown or fixed parameter.
    """
    form, problem, weights = fit.form, fit.problem, fit.weights
    if name not in form.names or name in fit.fixed:
        raise InputError(
            f"profile of {name!r}, expected a free parameter: {', '.join(n for n in form.names if n not in fit.fixed)}"
        )
    index = form.names.index(name)
    threshold = float(chdtri(1, 1 - level))
    centre, low, high = fit.theta[index], problem.low[index], problem.high[index]
    spread = covariance(fit)
    variance = spread[index, index] if np.isfinite(spread[index, index]) else 0.0
    path = spread[:, index] / variance if variance > 0 else np.zeros(form.size)
    least = 1e-3 * max(abs(centre), 1e-3 * problem.unit[index])
    step = min(max(np.sqrt(variance), least), max(abs(centre), problem.unit[index]))
    effect = design_effect(fit)
    values, ratios = [np.array([centre])], [np.zeros(1)]
    ends: list[float | None] = []
    for direction, limit in ((-1.0, low), (1.0, high)):
        reach, crossed = 2.5 * step, False
        for _ in range(16):
            target = centre + direction * reach
            stop = max(target, limit) if direction < 0 else min(target, limit)
            grid = np.linspace(centre, stop, POINTS // 2 + 1)[1:]
            refits = [held(problem, fit.theta, weights, index, grid, way)[1] for way in (None, path)]
            found = ratio(problem, fit.theta, weights, np.minimum(*refits)) / effect
            first = int((found > threshold).argmax())
            if found[first] > threshold:
                if first >= 3:
                    break
                crossed, reach = True, abs(grid[first] - centre)  # too coarse
            elif crossed or stop == limit:
                break
            else:
                reach *= 2.5
        values.append(grid)
        ratios.append(found)
        if found[first] > threshold:
            before = (centre, 0.0) if first == 0 else (grid[first - 1], found[first - 1])
            # The root of the ratio is nearly straight.
            share = (np.sqrt(threshold) - np.sqrt(before[1])) / (np.sqrt(found[first]) - np.sqrt(before[1]))
            ends.append(_natural(fit, index, before[0] + share * (grid[first] - before[0])))
        else:
            ends.append(None)
    theta, seen = np.concatenate(values), np.concatenate(ratios)
    order = theta.argsort()
    natural = np.array([_natural(fit, index, value) for value in theta[order]])
    return Profile(name, natural, seen[order], (ends[0], ends[1]), level)


def _natural(fit: "Fit", index: int, value: float) -> float:
    theta = fit.theta.copy()
    theta[index] = value
    return float(fit.form.natural(theta)[index])


def covariance(fit: "Fit") -> np.ndarray:
    """Return the covariance (M, M) of theta by the delta method: (sum of w g g')^-1 E[psi^2] / E[psi']^2, times the design effect of clusters.

    Zero for fixed parameters; very large along directions that are not identified; NaN where the loss function gives most residuals up
    (E[psi'] not positive).

    Source: Huber 1964; of regressions, Huber & Ronchetti 2009, section 7.6.
    """
    problem, form, weights = fit.problem, fit.form, fit.weights
    state = form.evaluate(fit.theta[None], problem.design)[1]
    gradient = form.jacobian(state)[:, 0]
    free = np.flatnonzero(problem.free)
    information = (gradient[free] * weights) @ gradient[free].T
    bend, square = moments(problem, fit.theta, weights)
    scale = np.sqrt(information.diagonal())
    scale = np.where(scale > 0, scale, 1 / problem.unit[free])
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    inverse = (vectors / np.maximum(values, FLAT * max(values[-1], 1e-300))) @ vectors.T / np.outer(scale, scale)
    out = np.zeros((form.size, form.size))
    out[np.ix_(free, free)] = inverse * (square / bend**2 * design_effect(fit)) if bend > 0 else np.nan
    return out


def delta_interval(
    fit: "Fit", quantity: Callable[[np.ndarray], np.ndarray], level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of a quantity of theta by the delta method, symmetric around the estimate, Student's quantile."""
    theta = fit.theta
    width = 1e-6 * np.maximum(np.abs(theta), fit.problem.unit)
    steps = np.diag(width)
    high, low = np.asarray(quantity(theta + steps)), np.asarray(quantity(theta - steps))
    gradient = (high - low) / (2 * width.reshape(-1, *[1] * (high.ndim - 1)))
    variance = np.einsum("i...,ij,j...->...", gradient, covariance(fit), gradient)
    half = stdtrit(
        max(int((fit.weights > 0).sum() / design_effect(fit)) - int(fit.problem.free.sum()), 1), (1 + level) / 2
    ) * np.sqrt(np.maximum(variance, 0))
    centre = np.asarray(quantity(theta))
    return centre - half, centre + half
