"""Approach 3: the frontier of a law of loss in parameters and tokens.

For L = E + A / N^alpha + B / D^beta and FLOPs C = k N^g D (k = 6, g = 1: 6 N D) the least loss at constant C is at

    log N* = [log(alpha A / (g beta B)) + beta log(C / k)] / (alpha + g beta),   log D* = log(C / k) - g log N*,

so that a = beta / (alpha + g beta) and b = alpha / (alpha + g beta): eq. 4 of Hoffmann et al. 2022 (arXiv:2203.15556) where g = 1, with
G = (alpha A / (beta B))^(1 / (alpha + beta)). Any other form in N and D, or count of FLOPs: by search. Intervals are the fit's own (BCa of its bootstrap).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from laimbench.laws.approaches.frontier import RATIOS, Absent, Estimate, Frontier
from laimbench.laws.approaches.rows import Rows
from laimbench.laws.fit import Fit
from laimbench.laws.forms import Form
from laimbench.laws.intervals import LEVEL
from laimbench.laws.planning.allocation import optimum_draws
from laimbench.laws.verdict import COLLINEAR


@dataclass(frozen=True)
class _Thetas:
    """Laws of one form, one per theta (P, M), as the planner's search takes them."""

    form: Form
    theta: np.ndarray

    def draws(self, *columns: Any) -> np.ndarray:
        return self.form.at(self.theta, *columns)


def split_at(form: Form, theta: np.ndarray, computes: np.ndarray, rows: Rows) -> np.ndarray:
    """Return log N* and log D*, (..., computes, 2), of theta (..., M) by the table's count of FLOPs; NaN where there is no optimum."""
    theta = np.asarray(theta, dtype=float)
    if form.name == "chinchilla" and rows.per_token.is_power:
        values = {name: value[..., None] for name, value in form.values(theta).items()}
        alpha, beta = values["alpha"], values["beta"]
        g, log_k = rows.per_token.coefficients
        log_c = np.log(computes) - log_k
        with np.errstate(all="ignore"):
            pull = np.log(alpha) + np.log(values["A"]) - np.log(g * beta) - np.log(values["B"])
            log_n = (pull + beta * log_c) / (alpha + g * beta)
        return np.stack([log_n, log_c - g * log_n], axis=-1)
    flat = theta.reshape(-1, form.size)
    params, tokens, _ = optimum_draws(_Thetas(form, flat), computes, rows.per_token)
    return np.log(np.stack([params, tokens], axis=-1)).reshape(*theta.shape[:-1], len(computes), 2)


def of_law(fit: Fit, rows: Rows, *, around: float | None = None, level: float = LEVEL) -> Frontier | Absent:
    """Return the frontier of a fitted law.

    Args:
        rows: those that it was fitted to, for their count of FLOPs and their range of compute.
        around: compute in whose neighbourhood (a factor 2 to both sides) the exponents are taken, by default the middle of the range; of a
            Chinchilla law with FLOPs k N^g D they are the same everywhere.
    """
    form = fit.form
    if set(form.variables) != {"params", "tokens"}:
        return Absent(3, f"form {form.name} is a law in {', '.join(form.variables)}, expected one in params and tokens")
    reason = _unidentified(fit)
    if reason:
        return Absent(3, reason)
    domain = float(rows["flops"].min()), float(rows["flops"].max())
    middle = np.sqrt(domain[0] * domain[1]) if around is None else around

    def interval(quantity) -> Estimate:
        value = float(quantity(fit.theta))
        if not len(fit.samples):
            return Estimate(value)
        with np.errstate(all="ignore"):
            low, high = fit.interval(quantity, level)
        return Estimate(value, float(low), float(high)) if np.isfinite([low, high]).all() else Estimate(value)

    def exponent(theta: np.ndarray) -> np.ndarray:
        ends = split_at(form, theta, middle * np.array([0.5, 2.0]), rows)
        return (ends[..., 1, :] - ends[..., 0, :]) / np.log(4)

    def estimate(compute: float) -> tuple[Estimate, Estimate, Estimate]:
        at = lambda theta: split_at(form, theta, np.array([compute]), rows)[..., 0, :]  # noqa: E731
        return tuple(interval(lambda theta, c=c: np.exp(at(theta) @ c)) for c in RATIOS)

    with np.errstate(all="ignore"):
        if not np.isfinite(exponent(fit.theta)).all():
            return Absent(3, "the law's loss does not fall with both params and tokens: no split of compute is optimal")
    return Frontier(
        number=3,
        a=interval(lambda theta: exponent(theta)[..., 0]),
        b=interval(lambda theta: exponent(theta)[..., 1]),
        domain=domain,
        points=(),
        refused=(),
        notes=tuple(fit.warnings),
        estimate=estimate,
    )


def _unidentified(fit: Fit) -> str | None:
    """Say why these rows cannot tell what size does from what tokens do, None where they can."""
    log_x = fit.problem.log_x
    for name, x in zip(fit.form.variables, log_x, strict=True):
        different = len(np.unique(np.round(x, 6)))
        if different < 3:
            return f"{name} takes {different} values only: the law's exponents are not identified"
    correlation = float(np.corrcoef(log_x)[0, 1])
    if abs(correlation) > COLLINEAR:
        return f"params and tokens vary together (correlation {correlation:.4f}): the law's terms cannot be told apart"
    return None
