"""Fit a form to a table of runs, with bootstrap intervals and a plain word on what the data cannot say."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.forms import CHINCHILLA, POWER_LAW, Form
from laimbench.laws.solver import objective, polish, solve_batch

DELTA = 1e-3  # of the Huber loss on log residuals, as Hoffmann et al. 2022
LEVEL = 0.95
AGREEMENT = 1e-6  # relative difference in objective within which two starts found the same optimum


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    params: by name, in the table's units; intervals: 95 % percentile bootstrap over rows (or clusters), empty without bootstrap;
    objective: the sum of Huber losses; agreeing: the share of starts that reached it; samples: bootstrap thetas.
    """

    form: Form
    params: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    objective: float
    rows: int
    delta: float
    starts: int
    agreeing: float
    warnings: list[str]
    theta: np.ndarray = field(repr=False)
    samples: np.ndarray = field(repr=False)

    def predict(self, *x: Any) -> np.ndarray:
        """Return the law's loss at x, one array per variable of the form."""
        return np.exp(self.form.log_loss(self.theta, _log_columns(x)))

    def band(self, *x: Any, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Return the bootstrap interval of the law's loss at x (of the curve, not of a new run)."""
        if not len(self.samples):
            raise InputError("the fit has no bootstrap samples, expected bootstrap > 0")
        values = np.exp(self.form.log_loss(self.samples, _log_columns(x)))
        return tuple(np.quantile(values, q, axis=0) for q in _tails(level))

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the samples, fit for JSON."""
        return {
            "form": self.form.name,
            "equation": self.form.equation,
            "params": self.params,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "level": LEVEL,
            "objective": self.objective,
            "delta": self.delta,
            "rows": self.rows,
            "bootstrap": len(self.samples),
            "starts": self.starts,
            "agreeing": self.agreeing,
            "warnings": self.warnings,
        }


def fit_power_law(compute: Any, loss: Any, **options: Any) -> Fit:
    """Fit L = E + a C^-b. Options: those of ``fit_form``."""
    return fit_form(POWER_LAW, (compute,), loss, **options)


def fit_chinchilla(params: Any, tokens: Any, loss: Any, **options: Any) -> Fit:
    """Fit L = E + A / N^alpha + B / D^beta. Options: those of ``fit_form``."""
    return fit_form(CHINCHILLA, (params, tokens), loss, **options)


def fit_form(
    form: Form,
    columns: tuple[Any, ...],
    loss: Any,
    *,
    bootstrap: int = 400,
    seed: int = 0,
    delta: float = DELTA,
    clusters: Any = None,
) -> Fit:
    """Fit a form by the sum of Huber losses of log residuals, from many starts, polished to machine precision.

    Args:
        form: the functional form.
        columns: one array of positive numbers per variable of the form.
        loss: positive losses in nats.
        bootstrap: resamples of the rows, 0 for none; each is solved from the optimum.
        seed: of the resampling.
        delta: where the Huber loss turns from square to linear.
        clusters: (rows,) labels; rows of one label are resampled together (seeds of one configuration, say).

    Raises:
        InputError: columns of unequal length, values that are not positive and finite, or fewer rows than parameters.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556), section 3.3 and appendix D.3.
    """
    log_x, log_loss = _log_columns(columns, form.variables), _log_columns((loss,), ("loss",))[:, 0]
    if len(log_x) != len(log_loss):
        raise InputError(f"{form.variables[0]} has {len(log_x)} rows and loss has {len(log_loss)}, expected as many")
    if len(log_loss) < form.size:
        raise InputError(
            f"{len(log_loss)} rows, expected at least {form.size}: {form.equation} has {form.size} parameters"
        )
    ones = np.ones(len(log_loss))
    thetas, values = solve_batch(form, form.starts(log_x, log_loss), log_x, log_loss, ones, delta)
    theta, value = polish(form, thetas[values.argmin()], log_x, log_loss, ones, delta)
    samples = np.empty((0, form.size))
    if bootstrap:
        counts = _resampled_counts(len(log_loss), clusters, bootstrap, seed)
        samples = solve_batch(form, np.tile(theta, (bootstrap, 1)), log_x, log_loss, counts, delta)[0]
    intervals = {}
    if bootstrap:
        low, high = (form.values(np.quantile(samples, q, axis=0)) for q in _tails(LEVEL))
        intervals = {name: (float(low[name]), float(high[name])) for name in form.names}
    return Fit(
        form=form,
        params={name: float(v) for name, v in form.values(theta).items()},
        intervals=intervals,
        objective=float(objective(form, theta, log_x, log_loss, ones, delta)),
        rows=len(log_loss),
        delta=delta,
        starts=len(values),
        agreeing=float(np.mean(values <= value * (1 + AGREEMENT) + 1e-15)),
        warnings=_warnings(form, theta, intervals, log_x, log_loss),
        theta=theta,
        samples=samples,
    )


def _warnings(form: Form, theta, intervals, log_x, log_loss) -> list[str]:
    """Say what these data do not determine."""
    found = []
    if len(log_loss) < 2 * form.size:
        found.append(f"{len(log_loss)} rows for {form.size} parameters: intervals are rough")
    for k, name in enumerate(form.variables):
        if len(np.unique(log_x[:, k])) < 3:
            found.append(
                f"{name} takes {len(np.unique(log_x[:, k]))} values only: its coefficient and exponent are not identified"
            )
    if np.ptp(log_loss) < 1e-6:
        found.append("all losses are equal: nothing but their level is identified")
    offset_share = np.exp(theta[0] - log_loss.min())
    if offset_share < 1e-3 or (intervals and intervals["E"][0] < 1e-3 * np.exp(log_loss.min())):
        found.append("E is not identified: the data are compatible with E = 0, extrapolation is open downwards")
    for name in form.names[2::2]:
        if name in intervals and intervals[name][0] <= 0:
            found.append(f"{name} is not distinguishable from 0")
    return found


def _resampled_counts(rows: int, clusters: Any, samples: int, seed: int) -> np.ndarray:
    """Return how often each row stands in each bootstrap sample, (samples, rows)."""
    generator = np.random.default_rng(seed)
    label = np.arange(rows) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    groups = label.max() + 1
    return generator.multinomial(groups, np.full(groups, 1 / groups), size=samples)[:, label].astype(float)


def _log_columns(columns: tuple[Any, ...], names: tuple[str, ...] = ()) -> np.ndarray:
    arrays = [np.atleast_1d(np.asarray(column, dtype=float)) for column in columns]
    for i, array in enumerate(arrays):
        bad = ~(np.isfinite(array) & (array > 0))
        if bad.any():
            name = names[i] if names else "x"
            raise InputError(f"{name}[{int(bad.argmax())}] is {array[bad][0]}, expected a positive finite number")
    if len({array.shape for array in arrays}) > 1:
        raise InputError(f"columns have {[len(a) for a in arrays]} rows, expected as many each")
    return np.log(np.stack(arrays, axis=-1))


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2
