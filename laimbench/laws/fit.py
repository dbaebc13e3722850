"""Fit a form to a table of runs: the optimum, how sure it is one, intervals, and a plain word on what the data cannot say."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.forms import CHINCHILLA, Form, get_form, power_law
from laimbench.laws.forms.base import log_columns, numbers, to_theta
from laimbench.laws.intervals import LEVEL, Resampling, bca_interval, independent_units, jackknife, resample
from laimbench.laws.losses import Loss, make_loss
from laimbench.laws.solver import Problem, solve
from laimbench.laws.verdict import Verdict, effective_runs, is_compatible, is_constant, judge

AGREEMENT = 1e-6  # relative difference in objective within which two starts found the same optimum


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    params: by name, in the table's units; intervals: 95 % by name, none without a bootstrap, of too few runs for one, and of parameters
    that the data do not identify (``verdict.flat``);
    objective: the sum of losses of residuals; domain: the range of each variable in the data; verdict: whether this is the optimum and what
    is identified; theta, samples (B, M), left_out (J, M): the optimum, bootstrap refits and jackknife refits as the solver holds them.
    """

    form: Form
    loss: Loss
    params: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    objective: float
    rows: int
    effective_runs: float
    domain: dict[str, tuple[float, float]]
    fixed: dict[str, float]
    resampling: Resampling
    verdict: Verdict
    warnings: list[str]
    problem: Problem = field(repr=False)
    weights: np.ndarray = field(repr=False)
    theta: np.ndarray = field(repr=False)
    samples: np.ndarray = field(repr=False)
    left_out: np.ndarray = field(repr=False)

    @property
    def delta(self) -> float:
        return self.loss.delta

    @property
    def sample_params(self) -> dict[str, np.ndarray]:
        """The bootstrap's parameters by name, (samples,) each."""
        return self.form.values(self.samples)

    @property
    def residuals(self) -> np.ndarray:
        """Predicted less observed on the form's scale (log loss, or the metric itself), (rows,)."""
        return self.form.evaluate(self.theta[None], self.problem.design)[0][0] - self.problem.y

    def predict(self, *x: Any) -> np.ndarray:
        """Return the law's loss (or metric) at x, one array (rows,) per variable of the form."""
        return self.form.at(self.theta, *x)

    def draws(self, *x: Any) -> np.ndarray:
        """Return the bootstrap's losses at x, (samples, rows); without a bootstrap there are no samples."""
        return self.form.at(self.samples, *x)

    def band(self, *x: Any, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Return the interval of the law's loss at x (of the curve, not of a new run)."""
        return self.interval(lambda theta: self.form.at(theta, *x), level)

    def interval(
        self, quantity: Callable[[np.ndarray], np.ndarray], level: float = LEVEL
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the bootstrap interval (BCa; see ``intervals``) of a quantity of the law.

        Args:
            quantity: from theta (..., M) to (..., K) or (...,); ``form.values(theta)`` gives parameters by name.
        """
        self._need_samples()
        return bca_interval(quantity(self.theta), quantity(self.samples), quantity(self.left_out), level)

    def _need_samples(self) -> None:
        if not len(self.samples):
            raise InputError(
                "the fit has no bootstrap samples, expected bootstrap > 0 and two runs more than parameters"
            )

    def objective_at(self, params: dict[str, float]) -> float:
        """Return the objective at anyone's parameters, on this fit's rows and loss.

        Raises:
            InputError: a parameter that is unknown, out of its domain, or missing.
        """
        theta = self.form.theta_of(params, "check")
        missing = [name for name, value in zip(self.form.names, theta, strict=True) if np.isnan(value)]
        if missing:
            raise InputError(f"check lacks {', '.join(missing)}, expected all of {', '.join(self.form.names)}")
        return float(self.problem.objective(theta, self.weights)[0])

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but rows and samples, fit for JSON."""
        return {
            "form": self.form.name,
            "equation": self.form.equation,
            "source": self.form.source,
            "variables": list(self.form.variables),
            "params": self.params,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "level": LEVEL,
            "fixed": self.fixed,
            "objective": self.objective,
            "loss_function": type(self.loss).__name__.lower(),
            "delta": self.delta if np.isfinite(self.delta) else None,
            "rows": self.rows,
            "effective_runs": self.effective_runs,
            "domain": {name: list(ends) for name, ends in self.domain.items()},
            "resampling": self.resampling.to_dict(),
            "verdict": self.verdict.to_dict(),
            "warnings": self.warnings,
        }


def fit_power_law(compute: Any, loss: Any, **options: Any) -> Fit:
    """Fit L = E + a C^-b. Options: those of ``fit_form``."""
    return fit_form(power_law(), (compute,), loss, **options)


def fit_chinchilla(params: Any, tokens: Any, loss: Any, **options: Any) -> Fit:
    """Fit L = E + A / N^alpha + B / D^beta. Options: those of ``fit_form``."""
    return fit_form(CHINCHILLA, (params, tokens), loss, **options)


def fit_runs(runs: dict[str, Any], form: Form | str = "chinchilla", *, target: str = "loss", **options: Any) -> Fit:
    """Fit a form to columns by name, as ``Table.runs`` returns them; the form's variables choose the columns.

    Raises:
        InputError: a column that is not there, and what ``fit_form`` raises.
    """
    form = get_form(form) if isinstance(form, str) else form
    runs = dict(runs)
    if "tokens_per_param" not in runs and {"params", "tokens"} <= runs.keys():
        runs["tokens_per_param"] = np.asarray(runs["tokens"]) / np.asarray(runs["params"])
    for name in (*form.variables, target):
        if name not in runs:
            raise InputError(f"no column {name}, needed by form {form.name}; there are {', '.join(runs)}")
    return fit_form(form, tuple(runs[name] for name in form.variables), runs[target], **options)


def fit_form(
    form: Form,
    columns: tuple[Any, ...],
    loss: Any,
    *,
    bootstrap: int = 400,
    resampling: str = "rows",
    clusters: Any = None,
    seed: int = 0,
    loss_function: str = "huber",
    delta: float | None = None,
    weights: Any = None,
    fixed: dict[str, float] | None = None,
    bounds: dict[str, tuple[float | None, float | None]] | None = None,
    starts: Any = None,
) -> Fit:
    """Fit a form by the sum of losses of residuals (log loss predicted less observed), from many starts, to machine precision.

    Args:
        form: the functional form.
        columns: one array (rows,) of positive numbers per variable of the form.
        loss: (rows,) positive losses in nats; of a form for bounded metrics, the metric within 0 and 1.
        bootstrap: refits for the intervals, 0 for none; each starts at the optimum.
        resampling: "rows"; "clusters", of the labels in ``clusters``; "parametric", new losses from the law and resampled residuals.
        clusters: (rows,) labels of rows that are not independent (seeds of one size, evaluations of one run); alone it means "clusters".
        seed: of the resampling.
        loss_function: "huber", "squared" or "cauchy"; delta: its scale, by default the form's for Huber (1e-3 in log loss).
        weights: (rows,) of 0 or more, by which the rows' losses count.
        fixed: parameters held at a value; bounds: limits (low, high) of parameters, None where open.
        starts: (P, M) starting points in theta instead of the form's own.

    Raises:
        InputError: unequal lengths, values out of their domain, fewer rows than free parameters, unknown names.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556), section 3.3 and appendix D.3; intervals: Efron 1987.
    """
    log_x = log_columns(columns, form.variables)
    y = _target(form, loss, log_x.shape[1])
    weights = _weights(weights, len(y))
    free, low, high, fixed = _limits(form, fixed or {}, bounds or {})
    used = int((weights > 0).sum())
    if used < free.sum():
        raise InputError(f"{used} rows, expected at least {free.sum()}: {form.equation} has as many free parameters")
    loss_form = make_loss(loss_function, form.delta if delta is None and loss_function == "huber" else delta)
    problem = Problem(form, log_x, y, loss_form, free, low, high)
    points = _points(problem, starts)
    theta, verdict = _optimum(problem, weights, points)

    labels = _labels(clusters, len(y))
    plan = Resampling("clusters" if labels is not None and resampling == "rows" else resampling, bootstrap, seed)
    if plan.kind == "clusters" and labels is None:
        raise InputError("resampling is 'clusters' without clusters, expected a label for each row")
    effective = effective_runs(
        residuals=form.evaluate(theta[None], problem.design)[0][0] - y, weights=weights, labels=labels
    )
    samples = left_out = np.empty((0, form.size))
    units = independent_units(weights, labels)[0]
    if bootstrap and units > free.sum() + 1:  # with one to spare intervals covered 65 to 75 %, with two 92 to 98 %
        pool = _compatible(problem, theta, weights, points) if verdict.flat or verdict.rivals else None
        samples = resample(problem, theta, weights, labels, plan, pool)
        left_out = jackknife(problem, theta, weights, labels, seed)
    fit = Fit(
        form=form,
        loss=loss_form,
        params={name: float(v) for name, v in form.values(theta).items()} | fixed,
        intervals={},
        objective=float(problem.objective(theta, weights)[0]),
        rows=len(y),
        effective_runs=effective,
        domain={
            v: (float(np.exp(x.min())), float(np.exp(x.max()))) for v, x in zip(form.variables, log_x, strict=True)
        },
        fixed=fixed,
        resampling=plan,
        verdict=verdict,
        warnings=[],
        problem=problem,
        weights=weights,
        theta=theta,
        samples=samples,
        left_out=left_out,
    )
    if len(samples):
        lower, upper = fit.interval(form.natural)
        lost = {name for group in verdict.flat for name in group} | set(
            form.names if is_constant(y[weights > 0]) else ()
        )
        chosen = [i for i in range(form.size) if free[i] and form.names[i] not in lost]
        fit = replace(fit, intervals={form.names[i]: (float(lower[i]), float(upper[i])) for i in chosen})
    warnings = judge(problem, theta, weights, units, fit.intervals, verdict)
    return replace(fit, warnings=warnings)


def _points(problem: Problem, starts: Any) -> np.ndarray:
    form = problem.form
    points = form.starts(problem.log_x, problem.y) if starts is None else np.atleast_2d(numbers(starts, "starts"))
    if points.ndim != 2 or points.shape[1] != form.size or not len(points) or not np.isfinite(points).all():
        raise InputError(f"starts have shape {points.shape}, expected finite numbers (starts, {form.size})")
    return np.where(problem.free, points, problem.low)


def _optimum(problem: Problem, weights: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, Verdict]:
    thetas, values = solve(problem, points, weights)
    values = np.where(np.isfinite(values), values, np.inf)
    best = int(np.argmin(values))
    if np.isinf(values[best]):
        raise InputError(
            f"the objective is not finite at any of {len(points)} starts, expected starts nearer to the data"
        )
    # Once more from where it is: what remains to be had is seen by a solver that starts without damping.
    (theta,), (value,) = solve(problem, thetas[best : best + 1], weights, stages=(1.0,))
    value = min(value, values[best])
    return theta, Verdict.of(problem, theta, weights, thetas, values, value, AGREEMENT)


def _compatible(problem: Problem, theta: np.ndarray, weights: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return optima (K, M) that the data do not exclude, from all starts: where they leave a direction open, from all over it, as no two
    starts go on as one here.
    """
    thetas, values = solve(problem, points, lambda chosen: weights[None])
    return np.concatenate([theta[None], thetas[is_compatible(problem, theta, weights, values)]])


def _target(form: Form, loss: Any, rows: int) -> np.ndarray:
    values = np.atleast_1d(numbers(loss, "loss"))
    if values.ndim != 1 or len(values) != rows:
        raise InputError(f"{form.variables[0]} has {rows} rows and loss has {len(values)}, expected as many")
    if form.link == "log":
        return log_columns((values,), ("loss",))[0]
    bad = ~((values >= 0) & (values <= 1))
    if bad.any():
        raise InputError(f"metric[{int(bad.argmax())}] is {values[bad][0]}, expected a number from 0 to 1")
    return values


def _weights(weights: Any, rows: int) -> np.ndarray:
    if weights is None:
        return np.ones(rows)
    values = numbers(weights, "weights")
    if values.shape != (rows,):
        raise InputError(f"weights have shape {values.shape}, expected ({rows},)")
    if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
        raise InputError("weights hold a value below 0 or not finite, or are all 0; expected numbers of 0 or more")
    return values


def _labels(clusters: Any, rows: int) -> np.ndarray | None:
    if clusters is None:
        return None
    values = np.atleast_1d(np.asarray(clusters))
    if values.shape != (rows,):
        raise InputError(f"clusters have shape {values.shape}, expected ({rows},)")
    numbered: dict[Any, int] = {}
    return np.array([numbered.setdefault(label, len(numbered)) for label in values.tolist()])


def _limits(form: Form, fixed: dict[str, float], bounds: dict[str, tuple[float, float]]):
    """Return which parameters are free and the limits of theta; a fixed one has both limits at its value."""
    low, high = form.box()
    free = np.ones(form.size, bool)
    for index, value in enumerate(form.theta_of(fixed, "fixed")):
        if not np.isnan(value):
            free[index], low[index], high[index] = False, value, value
    for name, ends in bounds.items():
        if name not in form.names:
            raise InputError(f"bounds name {name!r}, expected some of {', '.join(form.names)}")
        if name in fixed:
            raise InputError(f"{name} is both fixed and bounded, expected one of them")
        ends = np.array(ends, dtype=object)
        if ends.shape != (2,):
            raise InputError(f"bounds of {name} have shape {ends.shape}, expected a lower and a higher number")
        opened = [open_end if end is None else end for end, open_end in zip(ends, (-np.inf, np.inf), strict=True)]
        lower, upper = numbers(opened, f"bounds of {name}")
        if not lower < upper:
            raise InputError(f"bounds of {name} are {lower} to {upper}, expected a lower and a higher number")
        index = form.names.index(name)
        parameter = form.parameters[index]
        if np.isfinite(lower):
            low[index] = max(low[index], to_theta(parameter, float(lower), "bounds"))
        if np.isfinite(upper):
            high[index] = min(high[index], to_theta(parameter, float(upper), "bounds"))
        if not low[index] < high[index]:
            raise InputError(
                f"bounds of {name} are {lower:g} to {upper:g}, expected some of the range in which it is fitted"
            )
    if not free.any():
        raise InputError("all parameters are fixed, expected one or more to fit")
    return free, low, high, {name: float(value) for name, value in fixed.items()}
