"""Which form to trust beyond the data: fit below a cut in compute, predict above it.

>>> found = laws.select_form(table.runs(), ("chinchilla", "kaplan", "E + A/N^a + B/D^b + G/(N^g*D^h)"))
>>> found.statement

Errors are in log loss, predicted less observed. Forms are compared by their mean absolute error, on the same held-out rows, averaged over cuts;
the interval of a difference comes of a bootstrap in which one draw of rows (or of sizes) serves all forms and all cuts, for the fit below a cut as
for the rows above it: all cuts see largely the same rows, and what they agree on is not said twice. Source: forward validation, Arlot & Celisse 2010
(Statistics Surveys 4, section 8.1); paired bootstrap, Efron & Tibshirani 1993, chapter 8; of laws, Alabdulmohsin et al. 2022 (arXiv:2209.06640).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.approaches.rows import COUNTED, Rows, groups
from laimbench.laws.fit import Fit, fit_runs
from laimbench.laws.forms import Form, get_form
from laimbench.laws.forms.base import log_columns
from laimbench.laws.intervals import LEVEL, jackknife
from laimbench.laws.planning.law import Estimate
from laimbench.laws.solver import FROM_NEAR, solve

CUTS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # shares of the rows below
ROWS_PER_PARAMETER = 2  # below a cut
LEAST_ABOVE = 4
SIZES_LEFT_OUT = 30  # more sizes are left out in groups of neighbours
STARTS = 60  # of the fit to all rows at most: there are many fits to come
NEAR_STARTS = 8  # of a fit below a cut, besides the law of all rows
WITHIN_NOISE = 1.1  # times the noise of runs: a form that predicts so well cannot be improved on


@dataclass(frozen=True)
class Score:
    """Errors in log loss: median and mean absolute, root mean square, and bias (mean, predicted less observed) over rows."""

    rows: int
    median: float
    mean: float
    rms: float
    bias: float

    @classmethod
    def of(cls, errors: np.ndarray) -> "Score":
        size = np.abs(errors)
        numbers = np.median(size), size.mean(), np.sqrt((errors**2).mean()), errors.mean()
        return cls(len(errors), *(float(number) for number in numbers))


@dataclass(frozen=True)
class Cut:
    """A cut at ``compute`` FLOPs: rows at most there and beyond; reach: the largest compute over it; scores above it by form; refused: why not."""

    compute: float
    below: int
    above: int
    reach: float
    scores: dict[str, Score]
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Candidate:
    """A form over all cuts.

    error: mean over cuts of the mean absolute error, with its bootstrap interval; spread: standard deviation of that error over cuts; rms, bias:
    means over cuts; left_out_size: errors on each size by a fit without it, None for a law without params; in_sample: errors of the fit to all rows.
    """

    name: str
    equation: str
    parameters: int
    error: Estimate
    spread: float
    rms: float
    bias: float
    left_out_size: Score | None
    in_sample: Score

    def to_dict(self) -> dict[str, Any]:
        plain = {name: None if value != value else value for name, value in asdict(self).items()}  # JSON has no NaN
        return plain | {"error": self.error.to_dict()}


@dataclass(frozen=True)
class Difference:
    """The error of a form less that of the best; told: whether the data tell the two apart, else why not."""

    best: str
    other: str
    difference: Estimate
    told: bool
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"difference": self.difference.to_dict()}


@dataclass(frozen=True)
class Selection:
    """candidates: best first; absent: forms that these rows do not allow, and why; noise: spread of runs around the form that fits all rows best;
    resampled: what the bootstrap drew, "rows" or "sizes".
    """

    candidates: tuple[Candidate, ...]
    cuts: tuple[Cut, ...]
    differences: tuple[Difference, ...]
    absent: dict[str, str]
    noise: float
    rows: int
    resampled: str
    level: float

    @property
    def best(self) -> str | None:
        """The form of least error where it is told from all others, else None."""
        told = self.candidates and all(d.told for d in self.differences) and self.judged
        return self.candidates[0].name if told else None

    @property
    def judged(self) -> bool:
        return any(cut.refused is None for cut in self.cuts)

    @property
    def statement(self) -> str:
        """What these data say, in a sentence or two."""
        if not self.candidates:
            return "no form can be fitted to these rows"
        if not self.judged:
            reasons = "; ".join(sorted({cut.refused for cut in self.cuts if cut.refused}))
            return f"how far the forms extrapolate cannot be known from these data: {reasons or 'no cut'}"
        first = self.candidates[0]
        reach = max(cut.reach for cut in self.cuts if cut.refused is None)
        text = f"{first.name} is off by {first.error.value:.2%} up to {reach:.3g} times the compute it was fitted to"
        if not self.differences:
            return text
        worse = [f"{d.other} by {d.difference.value:.2%} more" for d in self.differences if d.told]
        open_ = [d.other for d in self.differences if not d.told]
        if not worse:
            return f"these data cannot tell the forms apart: {text}, {', '.join(open_)} no differently"
        text += f", {', '.join(worse)}"
        return text + (f"; these data cannot tell it from {', '.join(open_)}" if open_ else "")

    def to_dict(self) -> dict[str, Any]:
        return {
            "statement": self.statement,
            "best": self.best,
            "rows": self.rows,
            "noise": self.noise if np.isfinite(self.noise) else None,
            "resampled": self.resampled,
            "level": self.level,
            "candidates": [c.to_dict() for c in self.candidates],
            "cuts": [c.to_dict() for c in self.cuts],
            "differences": [d.to_dict() for d in self.differences],
            "absent": self.absent,
        }


def select_form(
    runs: Mapping[str, Any],
    forms: Sequence[Form | str] = ("chinchilla", "kaplan", "power", "broken"),
    *,
    cuts: Sequence[float] | None = None,
    by: str | None = None,
    bootstrap: int = 100,
    seed: int = 0,
    level: float = LEVEL,
    **fit_options: Any,
) -> Selection:
    """Return how well forms extrapolate in compute, and whether the data tell them apart.

    Args:
        runs: columns by name as ``Table.runs`` gives them: loss, flops (or params and tokens), and the forms' variables; of training curves (column
            run) the ends count.
        forms: forms of loss, their names, or texts.
        cuts: FLOPs; by default so that 40 to 90 % of the rows lie below.
        by: what the bootstrap draws: "rows", "sizes" (all runs of one size together); by default sizes where each has two rows at least.
        bootstrap: draws for intervals; with 0 nothing is told apart.
        fit_options: loss_function, delta (``fit_form``).

    A cut is refused with fewer rows below than twice the parameters of the largest form, or fewer than four above. Two forms are told apart when the
    interval of their difference, at a level that allows for all forms (Bonferroni), leaves 0 out and they do not both predict within the noise.

    Raises:
        InputError: columns that are missing or wrong, a form of metrics, a cut that is not positive.
    """
    columns = _columns(runs)
    flops, loss = columns["flops"], columns["loss"]
    if cuts is not None and not all(np.isfinite(c) and c > 0 for c in cuts):
        raise InputError(f"cuts are {', '.join(f'{c:g}' for c in cuts)}, expected positive finite FLOPs")
    laws, absent = _fits(columns, forms, fit_options)
    labels, resampled = _labels(columns, by)
    drawn = _draws(labels, bootstrap, seed)
    noise = min((_noise(law) for law in laws.values()), default=np.nan)
    held = [_cut(columns, cut, laws, drawn) for cut in (_default_cuts(flops) if cuts is None else cuts)]
    used = [(cut, draws) for cut, draws in held if cut.refused is None]
    candidates, means = [], {}
    for name, law in laws.items():
        scores = [cut.scores[name] for cut, _ in used]
        draws = np.array([draws[name] for _, draws in used]).reshape(len(used), bootstrap)
        means[name] = _mean(draws)
        candidates.append(
            Candidate(
                name=name,
                equation=law.form.equation,
                parameters=int(law.problem.free.sum()),
                error=Estimate.of(np.mean([s.mean for s in scores]) if scores else np.nan, means[name], level),
                spread=float(np.std([s.mean for s in scores])) if scores else np.nan,
                rms=float(np.mean([s.rms for s in scores])) if scores else np.nan,
                bias=float(np.mean([s.bias for s in scores])) if scores else np.nan,
                left_out_size=_leave_sizes_out(columns, law),
                in_sample=Score.of(law.residuals),
            )
        )
    candidates.sort(key=lambda c: c.error.value)
    differences = [
        _difference(candidates[0], c, means, noise, len(candidates) - 1, level) for c in candidates[1:] if used
    ]
    return Selection(
        tuple(candidates),
        tuple(cut for cut, _ in held),
        tuple(differences),
        absent,
        float(noise),
        len(loss),
        resampled,
        level,
    )


def _columns(runs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if sum(name in runs for name in COUNTED) >= 2:
        columns = dict(Rows.of(runs).ends.columns)
        columns.setdefault("tokens_per_param", columns["tokens"] / columns["params"])
        return columns
    for name in ("flops", "loss"):
        if name not in runs:
            there = ", ".join(runs) or "none"
            raise InputError(f"no column {name}, expected loss and flops (or params and tokens); there are {there}")
    log_columns((runs["flops"], runs["loss"]), ("flops", "loss"))
    return {name: np.asarray(column) for name, column in runs.items()}


def _fits(columns, forms, fit_options) -> tuple[dict[str, Fit], dict[str, str]]:
    """Return the laws of all rows by name, and forms that cannot be fitted."""
    laws, absent = {}, {}
    for form in forms:
        form = get_form(form, columns=tuple(columns)) if isinstance(form, str) else form
        name = form.name if form.name != "custom" else form.equation.removeprefix("L = ")
        if form.link != "log":
            raise InputError(f"form {name} is of bounded metrics, expected forms of loss")
        try:
            rows, needed = len(columns["loss"]), 2 * ROWS_PER_PARAMETER * form.size
            if rows < needed:
                raise InputError(f"{rows} rows, expected {needed} for {form.size} parameters")
            laws[name] = _fit(columns, form, fit_options)
        except InputError as error:
            absent[name] = str(error)
    return laws, absent


def _fit(columns: dict[str, np.ndarray], form: Form, fit_options: dict[str, Any]) -> Fit:
    missing = [name for name in form.variables if name not in columns]
    if missing:
        raise InputError(f"no column {missing[0]}; there are {', '.join(columns)}")
    log_x = log_columns(tuple(columns[name] for name in form.variables), form.variables)
    starts = form.starts(log_x, np.log(columns["loss"]))
    return fit_runs(columns, form, bootstrap=0, starts=starts[:: -(-len(starts) // STARTS)], **fit_options)


def _starts(law: Fit, count: int) -> np.ndarray:
    """Return the law and about so many of its form's starts."""
    starts = law.form.starts(law.problem.log_x, law.problem.y)
    return np.concatenate([law.theta[None], starts[:: -(-len(starts) // count)]])


def _labels(columns: dict[str, np.ndarray], by: str | None) -> tuple[np.ndarray, str]:
    rows = np.arange(len(columns["loss"]))
    if by not in (None, "rows", "sizes"):
        raise InputError(f"by is {by!r}, expected rows or sizes")
    if by == "sizes" and "params" not in columns:
        raise InputError("no column params, needed to draw sizes")
    if by == "rows" or "params" not in columns:
        return rows, "rows"
    sizes = groups(np.log(columns["params"]), 0.01)
    several = len(rows) and np.bincount(sizes).min() >= 2 and sizes.max() >= 5
    return (sizes, "sizes") if by == "sizes" or several else (rows, "rows")


def _draws(labels: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Return how often each row is drawn, (samples, rows)."""
    count = labels.max() + 1 if len(labels) else 0
    generator = np.random.default_rng(seed)
    picked = [np.bincount(generator.integers(0, count, count), minlength=count) for _ in range(samples if count else 0)]
    return np.array(picked).reshape(len(picked), count)[:, labels]


def _default_cuts(flops: np.ndarray) -> list[float]:
    return sorted({float(np.quantile(flops, share, method="lower")) for share in CUTS}) if len(flops) else []


def _cut(columns, compute: float, laws: dict[str, Fit], drawn: np.ndarray):
    """Return the cut, and the bootstrap's mean absolute errors (samples,) above it by form."""
    flops = columns["flops"]
    is_below = flops <= compute * (1 + 1e-9)
    below, above = int(is_below.sum()), int((~is_below).sum())
    reach = float(flops.max() / compute) if len(flops) else np.nan
    needed = ROWS_PER_PARAMETER * max((law.form.size for law in laws.values()), default=0)
    refused = None
    if below < needed:
        refused = f"{below} rows below {compute:.3g} FLOPs, expected {needed}"
    elif above < LEAST_ABOVE:
        refused = f"{above} rows above {compute:.3g} FLOPs, expected {LEAST_ABOVE}"
    if refused or not laws:
        return Cut(float(compute), below, above, reach, {}, refused or "no forms"), {}
    log_loss = np.log(columns["loss"][~is_below])
    errors, draws = {}, {}
    for name, law in laws.items():
        problem = law.problem.rows(is_below)
        thetas, objectives = solve(problem, _starts(law, NEAR_STARTS), np.ones(below))
        theta = thetas[np.nanargmin(objectives)]
        x = [columns[variable][~is_below] for variable in law.form.variables]
        errors[name] = np.log(law.form.at(theta, *x)) - log_loss
        weights, times = drawn[:, is_below].astype(float), drawn[:, ~is_below]
        refits = np.tile(theta, (len(drawn), 1))
        if len(drawn):
            refits, _ = solve(problem, refits, lambda chosen, w=weights: w[chosen], stages=FROM_NEAR)
        with np.errstate(all="ignore"):
            size = np.abs(np.log(law.form.at(refits, *x)) - log_loss)
            draws[name] = (size * times).sum(1) / times.sum(1)  # NaN where a draw has no row above
    scores = {name: Score.of(error) for name, error in errors.items()}
    return Cut(float(compute), below, above, reach, scores), draws


def _mean(draws: np.ndarray) -> np.ndarray:
    """Return the means over cuts (cuts, samples) -> (samples,) of the draws that have rows above every cut."""
    return draws.mean(0) if len(draws) else np.empty(0)


def _leave_sizes_out(columns: dict[str, np.ndarray], law: Fit) -> Score | None:
    """Return the errors at each size (or group of neighbouring sizes) of the law fitted without it."""
    if "params" not in law.form.variables:
        return None
    sizes = groups(np.log(columns["params"]), 0.01)
    count = sizes.max() + 1
    if count < 3:
        return None
    if count > SIZES_LEFT_OUT:
        sizes = sizes * SIZES_LEFT_OUT // count
    theta = jackknife(law.problem, law.theta, law.weights, sizes)
    value = law.form.evaluate(theta, law.problem.design)[0]
    return Score.of(value[sizes, np.arange(len(sizes))] - law.problem.y)


def _noise(law: Fit) -> float:
    """Return the robust spread of the residuals of a fit to all rows, corrected for its parameters."""
    residuals = law.residuals
    left = max(len(residuals) - int(law.problem.free.sum()), 1)
    return float(1.4826 * np.median(np.abs(residuals)) * np.sqrt(len(residuals) / left))


def _difference(best: Candidate, other: Candidate, means, noise: float, tests: int, level: float) -> Difference:
    value = other.error.value - best.error.value
    draws = means[other.name] - means[best.name]
    draws = draws[np.isfinite(draws)]
    reported = Estimate.of(value, draws, level)
    strict = Estimate.of(value, draws, 1 - (1 - level) / tests)
    if strict.low is None:
        told, reason = False, "no bootstrap, no interval"
    elif strict.low <= 0:
        told, reason = False, "the interval of the difference contains 0"
    elif max(best.rms, other.rms) <= WITHIN_NOISE * noise:
        told, reason = False, "both predict within the noise of runs"
    else:
        told, reason = True, "the interval of the difference leaves 0 out"
    return Difference(best.name, other.name, reported, told, reason)
