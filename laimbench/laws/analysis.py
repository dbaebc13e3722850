"""From a table of runs to everything that can be said of its law: quality, fit, checks, and a document that can be redone."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.laws import conventions
from laimbench.laws.approaches import Comparison
from laimbench.laws.approaches import compare as compare_approaches
from laimbench.laws.fit import Fit, fit_runs
from laimbench.laws.forms import Form, get_form
from laimbench.laws.likelihood import Profile, profile
from laimbench.laws.quality import Review, review
from laimbench.laws.selection import Selection, select_form
from laimbench.laws.table import Table

QUALITY = ("flag", "drop", "off")
MOST_DATA_ROWS = 20_000  # of a document: beyond, it names its source only
SHOWN = 8  # of long lists in a line


@dataclass(frozen=True)
class Options:
    """How to analyse. form: a name or a text (``forms.get_form``); variables: of forms that leave them open; target: the column of results;
    quality: "flag" runs in doubt and keep them, "drop" them, or "off"; a run without a result is always left out.
    clusters: a column whose equal values belong together, "auto" for repeated configurations where seeds are given, "" for none.
    The rest as ``fit.fit_form`` and ``conventions.apply`` have it.
    """

    form: str = "chinchilla"
    variables: tuple[str, ...] = ()
    target: str = "loss"
    quality: str = "flag"
    params_convention: str | None = None
    flops_convention: str | None = None
    loss_function: str = "huber"
    delta: float | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    clusters: str = "auto"
    resampling: str = "rows"
    bootstrap: int = 400
    seed: int = 0

    def __post_init__(self):
        if self.quality not in QUALITY:
            raise InputError(f"quality is {self.quality!r}, expected one of {', '.join(QUALITY)}")


@dataclass(frozen=True)
class Analysis:
    """table: what was read, by the conventions asked for; used: indices of its rows that were fitted; other: the fit of the other choice
    about runs in doubt (dropped where they were kept, kept where they were dropped), None where there are none.
    """

    options: Options
    table: Table
    used: np.ndarray
    review: Review | None
    fit: Fit
    other: Fit | None
    notes: list[str]

    @property
    def runs(self) -> dict[str, np.ndarray]:
        """The columns of the rows that were fitted, by name."""
        return self.table.select(self.used).runs(target=self.options.target)

    def to_dict(self) -> dict[str, Any]:
        """Return what is needed to read, judge and redo the fit, and to plan from it; fit for JSON."""
        runs, fit = self.runs, self.fit
        document = fit.to_dict()
        # Beyond the form's own variables, so that a plan can say how far it leaves the data.
        document["domain"] |= {
            name: [float(np.min(runs[name])), float(np.max(runs[name]))]
            for name in ("params", "tokens", "flops")
            if name in runs
        }
        document |= {
            "source": self.table.source,
            "options": asdict(self.options)
            | {
                "form": fit.form.equation if fit.form.name == "custom" else self.options.form,
                "bounds": {n: [e if np.isfinite(e) else None for e in ends] for n, ends in self.options.bounds.items()},
            },
            "notes": [*self.table.notes, *self.notes],
            "quality": None if self.review is None else self.review.to_dict(),
            "other": None
            if self.other is None
            else {"rows": self.other.rows, "params": self.other.params, "objective": self.other.objective},
            "draws": {name: values.tolist() for name, values in fit.sample_params.items()} if len(fit.samples) else {},
        }
        if len(self.used) <= MOST_DATA_ROWS:
            columns = dict.fromkeys((*fit.form.variables, "params", "tokens", "flops", self.options.target))
            derived = runs | _derived(runs)
            document["data"] = {"row": self.table.rows[self.used].tolist()} | {
                n: _plain(derived[n]) for n in columns if n in derived
            }
        return document


def analyse(table: Table, options: Options | None = None) -> Analysis:
    """Review a table's runs and fit a law to them.

    Raises:
        InputError: a column that is missing, no run with a result, and what ``fit.fit_form`` raises.
    """
    options = options or Options()
    form = get_form(options.form, options.variables, tuple(table.columns))
    table.needs(options.target, *(v for v in form.variables if v not in _derived(table.columns)))
    if options.params_convention or options.flops_convention:
        table = conventions.apply(table, options.params_convention, options.flops_convention)
    notes, verdict = [], None
    finals = table.finals()
    if len(finals) < len(table):
        notes.append(f"{len(table)} rows are curves of {len(finals)} runs: the last row of each is its result")
    result = np.isfinite(table.columns[options.target][finals])
    if not result.all():
        notes.append(f"left out, without a finite {options.target}: {_listed(table.rows[finals[~result]])}")
    if not result.any():
        raise InputError(f"{table.source}: no row has a finite {options.target}, expected some")
    sound = finals[result]
    used, others = sound, None
    if options.quality != "off":
        verdict = review(table, target=options.target)
        kept = sound[verdict.kept[sound]]
        if 0 < len(kept) < len(sound):
            used, others = (kept, sound) if options.quality == "drop" else (sound, kept)
    fit = _fit(table, used, form, options, notes)
    other = None
    if others is not None:
        try:
            other = _fit(table, others, form, options, [], bootstrap=0)
        except InputError as error:
            notes.append(f"the other choice about runs in doubt cannot be fitted: {error}")
    return Analysis(options, table, used, verdict, fit, other, notes)


def approaches(found: Analysis) -> Comparison:
    """Return Hoffmann et al.'s three approaches on the rows in use, and where they disagree."""
    options = found.options
    return compare_approaches(
        _rows_in_use(found),
        form=found.fit.form,
        bootstrap=options.bootstrap,
        seed=options.seed,
        loss_function=options.loss_function,
        delta=options.delta,
        fixed=dict(options.fixed),
        bounds=dict(options.bounds),
    )


def selection(found: Analysis, forms: tuple[str, ...] = ()) -> Selection:
    """Return how forms predict runs of more compute than they were fitted to; by default the usual ones."""
    chosen = {"forms": forms} if forms else {}
    options = found.options
    return select_form(
        found.runs, seed=options.seed, loss_function=options.loss_function, delta=options.delta, **chosen
    )


def _rows_in_use(found: Analysis) -> dict[str, np.ndarray]:
    """Return the columns of the runs that were fitted, with all their evaluations where the table has curves."""
    table = found.table
    if len(table.finals()) == len(table):
        return found.runs
    run = table.columns["run"]
    mask = np.isin(run, run[found.used]) & np.isfinite(table.columns[found.options.target])
    return table.select(mask).runs(target=found.options.target)


def profiles(fit: Fit) -> list[Profile]:
    """Return the profiles of all free parameters."""
    return [profile(fit, name) for name in fit.form.names if name not in fit.fixed]


def check(fit: Fit, claimed: Mapping[str, float]) -> dict[str, Any]:
    """Return the objective at anyone's parameters beside ours, on the same rows."""
    theirs = fit.objective_at(dict(claimed))
    return {"params": dict(claimed), "objective": theirs, "ours": fit.objective, "excess": theirs / fit.objective - 1 if fit.objective > 0 else None,
            "is_optimum": theirs <= fit.objective * (1 + 1e-9) + 1e-30}  # fmt: skip


def _fit(
    table: Table, rows: np.ndarray, form: Form, options: Options, notes: list[str], bootstrap: int | None = None
) -> Fit:
    chosen = table.select(rows)
    columns = dict(chosen.columns)
    try:
        return fit_runs(
            columns,
            form,
            target=options.target,
            bootstrap=options.bootstrap if bootstrap is None else bootstrap,
            resampling=options.resampling,
            clusters=_clusters(chosen, form, options, notes),
            seed=options.seed,
            loss_function=options.loss_function,
            delta=options.delta,
            fixed=dict(options.fixed),
            bounds=dict(options.bounds),
        )
    except InputError as error:
        raise InputError(f"{table.source}: {error}") from None


def _clusters(table: Table, form: Form, options: Options, notes: list[str]) -> np.ndarray | None:
    if options.clusters in ("", "none"):
        return None
    if options.clusters != "auto":
        table.needs(options.clusters)
        return table.columns[options.clusters]
    if "seed" not in table.columns:
        return None
    columns = table.columns | _derived(table.columns)
    names = [name for name in dict.fromkeys((*form.variables, "params", "tokens", "flops")) if name in columns]
    points = np.stack([np.round(np.log(np.asarray(columns[name], dtype=float)), 9) for name in names], axis=1)
    labels = np.unique(points, axis=0, return_inverse=True)[1].ravel()
    if labels.max() + 1 == len(labels):
        return None
    notes.append(f"{len(labels)} runs of {labels.max() + 1} configurations: seeds of one are resampled together")
    return labels


def _derived(columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if {"params", "tokens"} <= columns.keys() and "tokens_per_param" not in columns:
        return {"tokens_per_param": np.asarray(columns["tokens"]) / np.asarray(columns["params"])}
    return {}


def _plain(column: np.ndarray) -> list[Any]:
    return [None if isinstance(v, float) and not np.isfinite(v) else v for v in np.asarray(column).tolist()]


def _listed(rows: np.ndarray) -> str:
    shown = ", ".join(str(row) for row in rows[:SHOWN])
    return (
        f"{'row' if len(rows) == 1 else 'rows'} {shown}{f' and {len(rows) - SHOWN} more' if len(rows) > SHOWN else ''}"
    )
