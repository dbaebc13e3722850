"""What the objective itself says of uncertainty: quasi-likelihood ratios, profiles, and the delta method.

A sum of robust losses is no likelihood, but twice its excess over the optimum, times kappa = E[psi'] / E[psi^2] of the residuals, is
distributed as chi-squared (Ronchetti 1982; Heritier & Ronchetti 1994). psi' of a narrow Huber loss is seen by few rows, so that its mean is
taken as a difference of psi over a bandwidth.
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


def kappa(problem: Problem, theta: np.ndarray, weights: np.ndarray) -> float:
    """Return E[psi'] / E[psi^2] at theta (M,), corrected for the free parameters; infinite when every residual is nil."""
    value = problem.form.evaluate(theta[None], problem.design)[0][0]
    residual, total = value - problem.y, weights.sum()
    spread = 1.4826 * np.median(np.abs(residual)) or np.abs(residual).max()
    if spread == 0:
        return np.inf
    width = 1.06 * spread * len(residual) ** -0.2  # Silverman's rule
    slope = lambda r: problem.loss.slope(r)  # noqa: E731
    bend = (weights * (slope(residual + width) - slope(residual - width))).sum() / (2 * width * total)
    square = (weights * slope(residual) ** 2).sum() / max(total - problem.free.sum(), 1.0)
    return float(bend / square) if square > 0 else np.inf


def ratio(problem: Problem, theta: np.ndarray, weights: np.ndarray, objectives: np.ndarray) -> np.ndarray:
    """Return the quasi-likelihood ratio of objectives (P,) against the optimum theta: chi-squared where the truth is there."""
    excess = np.maximum(objectives - problem.objective(theta, weights)[0], 0.0)
    return np.where(excess > 0, 2 * np.minimum(kappa(problem, theta, weights), 1e300) * excess, 0.0)


def held(problem: Problem, theta: np.ndarray, weights: np.ndarray, index: int, values: np.ndarray):
    """Return refits (P, M) and objectives (P,) with one parameter held at values (P,) of theta."""
    free = problem.free.copy()
    free[index] = False
    starts = np.tile(theta, (len(values), 1))
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
    step = max(np.sqrt(covariance(fit)[index, index]), 1e-3 * max(abs(centre), 1e-3))
    values, ratios = [np.array([centre])], [np.zeros(1)]
    ends: list[float | None] = []
    for direction, limit in ((-1.0, low), (1.0, high)):
        reach, found = 2.5 * step, None
        for _ in range(8):
            target = centre + direction * reach
            stop = max(target, limit) if direction < 0 else min(target, limit)
            grid = np.linspace(centre, stop, POINTS // 2 + 1)[1:]
            found = ratio(problem, fit.theta, weights, held(problem, fit.theta, weights, index, grid)[1])
            if found.max() > threshold or stop == limit:
                break
            reach *= 2.5
        values.append(grid)
        ratios.append(found)
        if found.max() > threshold:
            first = int((found > threshold).argmax())
            before = (centre, 0.0) if first == 0 else (grid[first - 1], found[first - 1])
            share = (threshold - before[1]) / (found[first] - before[1])
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
    """Return the covariance (M, M) of theta by the delta method: (sum of w g g')^-1 E[psi^2] / E[psi']^2; zero for fixed parameters.

    Source: Huber 1964; of regressions, Huber & Ronchetti 2009, section 7.6.
    """
    problem, form, weights = fit.problem, fit.form, fit.weights
    state = form.evaluate(fit.theta[None], problem.design)[1]
    gradient = form.jacobian(state)[:, 0]
    free = np.flatnonzero(problem.free)
    information = (gradient[free] * weights) @ gradient[free].T
    residual = fit.residuals
    square = (weights * problem.loss.slope(residual) ** 2).sum() / max(weights.sum() - len(free), 1.0)
    scale = kappa(problem, fit.theta, weights)
    out = np.zeros((form.size, form.size))
    if np.isfinite(scale) and scale > 0:  # E[psi^2] / E[psi']^2 = 1 / (kappa^2 E[psi^2])
        out[np.ix_(free, free)] = np.linalg.pinv(information, hermitian=True) / (scale**2 * square)
    return out


def delta_interval(
    fit: "Fit", quantity: Callable[[np.ndarray], np.ndarray], level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of a quantity of theta by the delta method, symmetric around the estimate, Student's quantile."""
    theta = fit.theta
    width = 1e-6 * np.maximum(np.abs(theta), 1.0)
    steps = np.diag(width)
    high, low = np.asarray(quantity(theta + steps)), np.asarray(quantity(theta - steps))
    gradient = (high - low) / (2 * width.reshape(-1, *[1] * (high.ndim - 1)))
    variance = np.einsum("i...,ij,j...->...", gradient, covariance(fit), gradient)
    half = stdtrit(max(fit.rows - int(fit.problem.free.sum()), 1), (1 + level) / 2) * np.sqrt(np.maximum(variance, 0))
    centre = np.asarray(quantity(theta))
    return centre - half, centre + half
