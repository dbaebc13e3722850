"""Whether a fit is an optimum, and what its data leave open: in numbers, and in words."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtri

from laimbench.laws.likelihood import held, ratio
from laimbench.laws.solver import Problem

THRESHOLD = float(chdtri(1, 0.05))  # of a quasi-likelihood ratio
SINGULAR = 1e-10  # eigenvalue of the scaled information relative to the greatest, below which a direction is flat
STEEP = 0.01  # gradient of the objective relative to itself, above which it is no optimum
COLLINEAR = 0.999  # correlation of two variables' logarithms


@dataclass(frozen=True)
class Verdict:
    """starts, and the share of them that reached the optimum; gradient_norm: of the objective over the objective, by free parameters of
    theta; eigenvalues: of the objective's Hessian, ascending; flat: groups of parameters that may move together without effect on any row;
    rivals: other optima that the data do not exclude, as (objective, parameters).
    """

    starts: int
    agreeing: float
    gradient_norm: float
    eigenvalues: list[float]
    flat: list[list[str]]
    rivals: list[tuple[float, dict[str, float]]]

    @classmethod
    def of(
        cls, problem: Problem, theta, weights, thetas, values: np.ndarray, value: float, agreement: float
    ) -> "Verdict":
        """Judge the optimum theta (M,) among what all starts reached: thetas (P, M), values (P,)."""
        form, free = problem.form, problem.free
        gradient, hessian = problem.derivatives(theta, weights)
        inside = free & ~((theta <= problem.low) & (gradient > 0)) & ~((theta >= problem.high) & (gradient < 0))
        slope = (form.jacobian(form.evaluate(theta[None], problem.design)[1])[:, 0] * problem.unit[:, None])[free]
        nothing = 1e-25 * weights.sum()
        close = values <= value * (1 + agreement) + nothing
        others = ~close & is_compatible(problem, theta, weights, values)
        return cls(
            starts=len(values),
            agreeing=float(close.mean()),
            gradient_norm=float(np.linalg.norm(gradient[inside]) / max(value, 1e-300)) if value > nothing else 0.0,
            eigenvalues=[float(v) for v in np.linalg.eigvalsh(hessian[np.ix_(free, free)])],
            flat=_flat(slope, weights, [n for n, f in zip(form.names, free, strict=True) if f]),
            rivals=_rivals(problem, theta, thetas[others], values[others]),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "starts": self.starts,
            "agreeing": self.agreeing,
            "gradient_norm": self.gradient_norm,
            "eigenvalues": self.eigenvalues,
            "flat": self.flat,
            "rivals": [{"objective": objective, "params": params} for objective, params in self.rivals],
        }


def is_compatible(problem: Problem, theta, weights, objectives: np.ndarray) -> np.ndarray:
    """Whether the data leave laws of these objectives (P,) open beside the optimum theta, (P,)."""
    return np.isfinite(objectives) & (ratio(problem, theta, weights, objectives) < THRESHOLD)


def _flat(slope: np.ndarray, weights: np.ndarray, names: list[str]) -> list[list[str]]:
    """Return the parameters of each flat direction of the information matrix, scaled to ones on its diagonal."""
    information = (slope * weights) @ slope.T
    scale = np.sqrt(information.diagonal())
    still = scale <= 1e-8 * scale.max() if scale.max() > 0 else np.ones(len(scale), bool)
    found = [[name] for name, flat in zip(names, still, strict=True) if flat]
    moving = ~still
    if moving.any():
        scaled = information[np.ix_(moving, moving)] / np.outer(scale[moving], scale[moving])
        values, vectors = np.linalg.eigh(scaled)
        rest = [name for name, flat in zip(names, still, strict=True) if not flat]
        for value, vector in zip(values, vectors.T, strict=True):
            if value < SINGULAR * values[-1]:
                found.append([name for name, part in zip(rest, vector, strict=True) if abs(part) > 0.1])
    return found


def _rivals(problem: Problem, theta: np.ndarray, thetas: np.ndarray, values: np.ndarray) -> list:
    """Return up to three optima that differ in a parameter by more than a tenth, best first."""
    form, found = problem.form, []
    kept = [form.natural(theta)]
    for index in values.argsort():
        natural = form.natural(thetas[index])
        if all((np.abs(natural - other) > 0.1 * np.abs(other) + 1e-12).any() for other in kept):
            kept.append(natural)
            found.append((float(values[index]), {n: float(v) for n, v in zip(form.names, natural, strict=True)}))
        if len(found) == 3:
            break
    return found


def judge(
    problem: Problem, theta, weights, units: int, intervals: dict[str, tuple[float, float]], verdict: Verdict
) -> list[str]:
    """Return what these data do not determine, a line each, the gravest first."""
    form, free = problem.form, problem.free
    used, count = weights > 0, int(free.sum())
    log_x, y = problem.log_x[:, used], problem.y[used]
    found = []
    if verdict.gradient_norm > STEEP:
        found.append(
            f"this is not an optimum: the objective still changes by {verdict.gradient_norm:.2g} of itself per unit of a parameter; a simpler "
            "form or fixed parameters may help"
        )
    if is_constant(y):
        found.append("all losses are equal: nothing but their level is identified")
    for k, name in enumerate(form.variables):
        different = len(np.unique(np.round(log_x[k], 6)))
        if different < 3:
            word = "value" if different == 1 else "values"
            found.append(f"{name} takes {different} {word} only: its coefficient and exponent are not identified")
    found += _collinear(form, log_x)
    if units <= count:
        found.append(
            f"{units} independent runs for {count} parameters: the law can pass through all of them, no interval can be given"
        )
    elif units == count + 1:
        found.append(f"{units} independent runs for {count} parameters: one to spare, no interval can be given")
    elif units < 3 * count:
        found.append(f"{units} independent runs for {count} parameters: intervals are rough")
    for group in verdict.flat:
        found.append(
            f"{' and '.join(group)} {'are' if len(group) > 1 else 'is'} not identified: no row feels {'them' if len(group) > 1 else 'it'}"
        )
    for index, parameter in enumerate(form.parameters):
        if not free[index]:
            continue
        if parameter.kind in ("offset", "plain"):
            found += _open_to_zero(problem, theta, weights, index, intervals)
        if theta[index] != 0 and (theta[index] <= problem.low[index] or theta[index] >= problem.high[index]):
            box = [ends[index] for ends in form.box()]
            words = "ran to its limit {:.3g}: it is not identified" if theta[index] in box else "is at its bound {:.3g}"
            found.append(f"{parameter.name} {words.format(form.natural(theta)[index])}")
    if verdict.rivals:
        objective, params = verdict.rivals[0]
        text = ", ".join(f"{name} {value:.4g}" for name, value in params.items())
        found.append(f"another optimum fits about as well (objective {objective:.6e}): {text}")
    if verdict.agreeing < 0.02 and verdict.starts >= 100:
        found.append(
            f"only {verdict.agreeing:.1%} of {verdict.starts} starts agree on this optimum: there may be a better one"
        )
    if len(y) > 1 and weights.max() > 0.5 * weights.sum():
        found.append("one row has more than half of the weight")
    return found


def is_constant(y: np.ndarray) -> bool:
    """Whether losses (rows,) on the form's scale differ by less than is ever printed."""
    return bool(np.ptp(y) < 1e-6)


def _collinear(form, log_x: np.ndarray) -> list[str]:
    found = []
    for a in range(len(log_x)):
        for b in range(a):
            if np.ptp(log_x[a]) > 0 and np.ptp(log_x[b]) > 0 and len(log_x[a]) > 2:
                r = np.corrcoef(log_x[a], log_x[b])[0, 1]
                if abs(r) > COLLINEAR:
                    found.append(f"{form.variables[b]} and {form.variables[a]} vary together (correlation {r:.4f}): "
                                 "their terms cannot be told apart")  # fmt: skip
    return found


def _open_to_zero(problem: Problem, theta, weights, index: int, intervals) -> list[str]:
    """Say when the data do not exclude 0, of an irreducible loss or an exponent: by its interval, without one by the objective at 0."""
    parameter = problem.form.parameters[index]
    if not problem.low[index] <= 0 <= problem.high[index]:
        return []
    if parameter.name in intervals:
        low, high = intervals[parameter.name]
        floor = 1e-3 * np.exp(problem.y.min()) if parameter.kind == "offset" else 0.0
        excluded = low > floor or (parameter.kind == "plain" and high < 0)
    elif theta[index] == 0:
        excluded = False
    else:
        value = held(problem, theta, weights, index, np.zeros(1))[1]
        excluded = ratio(problem, theta, weights, value)[0] > THRESHOLD
    return [] if excluded else _open_words(parameter)


def _open_words(parameter) -> list[str]:
    if parameter.kind == "offset":
        return [
            f"{parameter.name} is not identified: the data are compatible with {parameter.name} = 0, extrapolation is open downwards"
        ]
    return [f"{parameter.name} is not distinguishable from 0"]


def effective_runs(residuals: np.ndarray, weights: np.ndarray, labels: np.ndarray | None) -> float:
    """Return the number of independent runs that the rows are worth.

    The weighted mean of as many independent runs would have the variance that the rows' has: (sum w)^2 / sum w^2 without labels of clusters
    (Kish 1965); with them pairs in a cluster add rho w_i w_j below, rho the residuals' intra-class correlation as the one-way analysis of
    variance has it. Clusters of equal size m: rows / (1 + (m - 1) rho).
    """
    squares = (weights**2).sum()
    rows = float(weights.sum() ** 2 / squares)
    if labels is None:
        return rows
    used = weights > 0
    labels, residuals, weights = np.unique(labels[used], return_inverse=True)[1], residuals[used], weights[used]
    sizes = np.bincount(labels)
    groups, count = len(sizes), len(residuals)
    if groups < 2 or groups == count:
        return rows if groups == count else 1.0
    means = np.bincount(labels, residuals) / sizes
    between = (sizes * (means - residuals.mean()) ** 2).sum() / (groups - 1)
    within = ((residuals - means[labels]) ** 2).sum() / (count - groups)
    typical = (count - (sizes**2).sum() / count) / (groups - 1)
    denominator = between + (typical - 1) * within
    rho = float(np.clip((between - within) / denominator, 0, 1)) if denominator > 0 else 0.0
    pairs = (np.bincount(labels, weights) ** 2).sum() - squares
    return float(weights.sum() ** 2 / (squares + rho * pairs))
