"""Quality control of a table of runs: each kept or dropped with a reason code, nothing silently.

>>> review = quality.review(table)
>>> review.counts, table.select(review.kept)

Every rule states its threshold and where that comes from in ``RULES``; ``rules=`` turns them on and off.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import siegelslopes

from laimbench.errors import InputError
from laimbench.flops import FLOPS_PER_PARAM_AND_TOKEN
from laimbench.laws import outliers
from laimbench.laws.columns import TRIO
from laimbench.laws.fit import Fit, fit_form

if TYPE_CHECKING:
    from laimbench.laws.table import Table

OWN_MINIMUM = (
    0.05  # log of final over least loss: ten times the spread over seeds that language models show (below 0.5 %)
)
PEERS = 0.10  # log of loss over the peers'; and NOISE times the spread of neighbours of that size
NOISE = 6.0  # robust standard deviations beyond which rows leave a trend
DECAYED_TO = 0.2  # final over peak learning rate; Hoffmann et al. 2022 decay to 0.1 and measure that more costs loss
FINISHED = 0.98  # of the scheduled steps
SAME = 1e-6  # relative difference: what is left of a number after seven printed digits or a float32
FLOPS_FACTOR = 2.0  # a row's FLOPs off the others' ratio to 6 N D: exact counts vary by less with size
HYPER_FACTOR = (
    4.0  # off the trend: losses are flat within about a factor 2 to 4 of the best lr and batch (arXiv:2401.02954)
)
TREND_RUNS = 8  # runs for a trend of hyper-parameters
TREND_SAMPLE = 1_000  # of which the trend is found: Siegel's slope costs the square

RULES = {
    "nan": "the loss is empty, NaN or infinite",
    "undecayed": f"column decayed says no, final_lr / lr > {DECAYED_TO:g}, or step < {FINISHED:g} total_steps: the loss of an "
    "unfinished decay is above what the run would reach (Hoffmann et al. 2022, figure A1); not judged without such columns",
    "diverged": f"a run's final loss is NaN or {np.expm1(OWN_MINIMUM):.0%} above its own earlier minimum (columns run, step), is "
    f"above ln(vocab_size), the loss of a uniform guess, or {np.expm1(PEERS):.0%} (and {NOISE:g} spreads) above the median of "
    "up to three runs of its size (within 1 %) with half its tokens or less",
    "duplicate": f"params, tokens, flops and loss (and seed, run, step if there) agree with an earlier row within {SAME:g}",
    "inconsistent_flops": f"flops / (6 params tokens) is {FLOPS_FACTOR:g} times and {NOISE:g} robust standard deviations off the "
    "other rows'; a factor common to all rows is flagged as wrong units, and no row dropped",
    "off_trend": f"lr (against params) or batch_size (against flops) is {HYPER_FACTOR:g} times and {NOISE:g} robust standard "
    f"deviations off the other runs' power law (Siegel's repeated medians); needs {TREND_RUNS} runs",
    "outlier": f"more than {outliers.RESIDUAL:g} robust standard deviations off the fitted law, and leaving it out changes the "
    f"law: Cook's distance above {outliers.INFLUENCE:g} / rows",
}
"""Reason code -> the rule with its thresholds, in the order in which rows are judged; a row has the first that fits."""

UNITS = {
    1 / 6: "flops is N D without the 6",
    1 / 3: "flops counts the forward pass only (2 N D)",
    1 / 2: "flops counts multiply-adds (3 N D)",
    4 / 3: "flops counts recomputed activations (8 N D)",
    2.0: "a multiply-add is counted as four, or the passes twice (12 N D)",
    1 / 8: "flops is per device of eight, or tokens are eight times too many",
    8.0: "tokens are per device of eight, or flops eight times too many",
    1 / 8.64e19: "flops is in PF-days",
    **{10.0**p: f"params or tokens (or both together) are in units of 1e{p}" for p in (3, 6, 9, 12, 15, 18)},
    **{10.0**-p: f"flops is in units of 1e{p}" for p in (3, 6, 9, 12, 15, 18, 21)},
}  # flops / (6 params tokens) -> the likely cause
UNITS_TOLERANCE = 0.1  # log
UNKNOWN_UNITS = 3.0  # a factor without a known cause is flagged from here on; exact counts of small models reach 2


@dataclass(frozen=True)
class Review:
    """The verdict on every row.

    source, rows: the table's, and each row's number in it; codes: (rows,) reason codes, "" for a row that is kept; details: row
    index -> the numbers behind its code; flags: what concerns the table as a whole; skipped: rule -> why it could not judge;
    law: the law with and without the outliers, None if that was not fitted.
    """

    source: str
    rows: np.ndarray
    codes: np.ndarray
    details: dict[int, str]
    flags: list[str]
    skipped: dict[str, str]
    law: dict[str, Any] | None

    @property
    def kept(self) -> np.ndarray:
        """(rows,) True where the row is kept."""
        return self.codes == ""

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are kept and how many each reason dropped."""
        return {"kept": int(self.kept.sum())} | {
            code: int((self.codes == code).sum()) for code in RULES if (self.codes == code).any()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, fit for JSON; only dropped rows are listed."""
        dropped = [
            {"row": int(self.rows[i]), "code": str(self.codes[i]), "detail": self.details[int(i)]}
            for i in np.flatnonzero(~self.kept)
        ]
        return {
            "source": self.source, "rows": len(self.rows), "counts": self.counts, "dropped": dropped, "flags": self.flags,
            "skipped": self.skipped, "law": self.law, "rules": {code: RULES[code] for code in RULES if code not in self.skipped},
        }  # fmt: skip


def review(
    table: "Table", rules: Iterable[str] | None = None, target: str = "loss", fit: Callable[..., Fit] = fit_form
) -> Review:
    """Judge every row of a table.

    Args:
        table: as read; where columns run and step are there and a run has several rows, these are its curve: rules on final
            losses judge the last row, and its run stands or falls with it.
        rules: the codes to use, by default all of ``RULES``.
        target: the column of results. Rules about losses are skipped for another one (accuracy, say).
        fit: called as ``fit_form(form, columns, loss, bootstrap=0)``.

    Raises:
        InputError: an unknown rule, or no column ``target``.
    """
    wanted = list(RULES) if rules is None else list(rules)
    for rule in wanted:
        if rule not in RULES:
            raise InputError(f"quality rule is {rule!r}, expected one of {', '.join(RULES)}")
    table.needs(target)
    case = _Case(table, target)
    for rule, judge in _JUDGES.items():
        if rule not in wanted:
            case.skipped[rule] = "turned off"
        elif target != "loss" and rule in ("diverged", "outlier"):
            case.skipped[rule] = f"judges losses, not {target}"
        elif why := judge(case, fit):
            case.skipped[rule] = why
    return Review(table.source, table.rows, case.codes, case.details, case.flags, case.skipped, case.law)


@dataclass
class _Case:
    """A table under review. final: indices of the rows that are results of runs; run: (rows,) the run of each row."""

    table: "Table"
    target: str
    details: dict[int, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    law: dict[str, Any] | None = None

    def __post_init__(self):
        self.columns, rows = self.table.columns, len(self.table)
        self.codes = np.full(rows, "", dtype=object)
        self.run, self.final = np.arange(rows), self.table.finals()
        if len(self.final) < rows:
            self.run = np.unique(self.columns["run"], return_inverse=True)[1]
        self.loss = self.columns[self.target]

    def has(self, *names: str) -> bool:
        return all(name in self.columns for name in names)

    def alive(self, rows: np.ndarray) -> np.ndarray:
        return rows[self.codes[rows] == ""]

    def drop(self, row: int, code: str, detail: str) -> None:
        if self.codes[row] == "":
            self.codes[row] = code
            self.details[int(row)] = detail

    def drop_run(self, row: int, code: str, detail: str) -> None:
        """Drop all rows of the run whose final row this is."""
        rows = [row] if len(self.final) == len(self.run) else np.flatnonzero(self.run == self.run[row])
        for i in rows:
            self.drop(i, code, detail)

    def drop_exceptions(self, found: dict[int, str], of: int, code: str) -> None:
        """Drop runs, unless they are the most: then it is how the table was made."""
        if 2 * len(found) > of:
            example = next(iter(found.values()))
            self.flags.append(f"{code}: {len(found)} of {of} runs, so none is dropped ({example})")
            return
        for row, detail in found.items():
            self.drop_run(row, code, detail)


def _nan(case: _Case, _: Any) -> None:
    for row in np.flatnonzero(~np.isfinite(case.loss)):
        case.drop(row, "nan", f"{case.target} is {case.loss[row]:g}")


def _diverged(case: _Case, _: Any) -> None:
    _above_own_minimum(case)
    final = case.final[np.isfinite(case.loss[case.final])]
    if case.has("vocab_size"):
        limit = np.log(case.columns["vocab_size"])
        for row in case.alive(final):
            if case.loss[row] > limit[row]:
                case.drop_run(row, "diverged", f"loss {case.loss[row]:.5g} is above ln(vocab_size) = {limit[row]:.5g}")
    if case.has("params", "tokens"):
        _above_peers(case, case.alive(final))


def _above_own_minimum(case: _Case) -> None:
    if len(case.final) == len(case.run):
        return
    least = np.full(case.run.max() + 1, np.inf)
    finite = np.isfinite(case.loss)
    np.minimum.at(least, case.run[finite], case.loss[finite])
    for row in case.final:
        low, last = least[case.run[row]], case.loss[row]
        if np.isnan(last) and np.isfinite(low):
            case.drop_run(row, "diverged", f"the run's final loss is NaN, its least was {low:.5g}")
        elif 0 < low < last and np.log(last / low) > OWN_MINIMUM:
            case.drop_run(row, "diverged", f"final loss {last:.5g}, the run's least was {low:.5g}")


def _above_peers(case: _Case, rows: np.ndarray) -> None:
    if not len(rows):
        return
    size = np.round(np.log(case.columns["params"][rows]) / 0.01).astype(int)
    tokens = np.log(case.columns["tokens"][rows])
    order = np.lexsort((tokens, size))
    rows, tokens = rows[order], tokens[order]
    loss, group = np.log(case.loss[rows]), np.cumsum(np.diff(size[order], prepend=size[order[0]]) != 0)
    steps = np.diff(loss)[np.diff(group) == 0]
    limit = max(PEERS, NOISE * _spread(steps - np.median(steps))) if len(steps) else PEERS
    # Groups one after the other on one axis: where those of half a row's tokens end, and where its group starts.
    axis = tokens - tokens.min() + group * (np.ptp(tokens) + 1)
    end = np.searchsorted(axis, axis - np.log(2) + 1e-6, side="right")
    start = np.searchsorted(group, group)
    nearest = end[:, None] - np.arange(1, 4)
    peers = np.where(nearest >= start[:, None], loss[np.maximum(nearest, 0)], np.nan)
    has = np.flatnonzero(end > start)
    middle = np.nanmedian(peers[has], axis=1)
    for i, peer in zip(has[loss[has] - middle > limit], middle[loss[has] - middle > limit], strict=True):
        case.drop_run(
            rows[i], "diverged",
            f"loss {np.exp(loss[i]):.5g}, while runs of its size with half the tokens or less have {np.exp(peer):.5g} in the "
            f"median (limit {np.exp(limit):.3g} times)",
        )  # fmt: skip


def _undecayed(case: _Case, _: Any) -> str | None:
    if not (case.has("decayed") or case.has("final_lr", "lr") or case.has("step", "total_steps")):
        return "no column decayed, no final_lr and lr, no step and total_steps"
    found, rows = {}, case.alive(case.final)
    columns = case.columns
    for row in rows:
        if case.has("decayed") and str(columns["decayed"][row]).lower() in ("false", "no", "0", "0.0"):
            found[row] = "column decayed says no"
        elif case.has("final_lr", "lr") and columns["final_lr"][row] > DECAYED_TO * columns["lr"][row] > 0:
            share = columns["final_lr"][row] / columns["lr"][row]
            found[row] = f"the learning rate ends at {share:.3g} of its peak, expected {DECAYED_TO:g} at most"
        elif case.has("step", "total_steps") and columns["step"][row] < FINISHED * columns["total_steps"][row]:
            found[row] = f"step {columns['step'][row]:g} of {columns['total_steps'][row]:g}"
    case.drop_exceptions(found, len(rows), "undecayed")
    return None


def _duplicate(case: _Case, _: Any) -> str | None:
    names = [name for name in TRIO if case.has(name)]
    if not names:
        return "no column params, tokens or flops"
    rows = case.alive(np.arange(len(case.table)))
    points = [np.log(case.columns[name][rows]) for name in names]
    points.append(np.sign(case.loss[rows]) * np.log(np.maximum(np.abs(case.loss[rows]), 1e-300)))
    points += [
        np.unique(case.columns[name][rows], return_inverse=True)[1]
        for name in ("seed", "run", "step")
        if case.has(name)
    ]
    distinct, first, label = np.unique(np.stack(points, axis=1), axis=0, return_index=True, return_inverse=True)
    original = first.copy()
    for i, j in sorted(cKDTree(distinct).query_pairs(SAME, p=np.inf)) if len(distinct) else ():
        original[[i, j]] = min(original[i], original[j])
    for position, of in enumerate(original[label.reshape(-1)]):
        if position != of:
            case.drop(rows[position], "duplicate", f"the same as row {case.table.rows[rows[of]]}")
    return None


def _inconsistent_flops(case: _Case, _: Any) -> str | None:
    names = TRIO
    if not case.has(*names) or set(names) & set(case.table.derived):
        return "the table does not give all of params, tokens and flops"
    rows = case.alive(np.arange(len(case.table)))
    if not len(rows):
        return "no rows are left"
    params, tokens, flops = (case.columns[name][rows] for name in names)
    ratio = np.log(flops) - np.log(FLOPS_PER_PARAM_AND_TOKEN) - np.log(params) - np.log(tokens)
    middle = np.median(ratio)
    spread = _spread(ratio - middle)
    for i in np.flatnonzero(np.abs(ratio - middle) > max(np.log(FLOPS_FACTOR), NOISE * spread)):
        case.drop(
            rows[i], "inconsistent_flops",
            f"flops / (6 params tokens) is {np.exp(ratio[i]):.4g}, the other rows' median {np.exp(middle):.4g}",
        )  # fmt: skip
    factor = min(UNITS, key=lambda known: abs(np.log(known) - middle))
    known = (
        abs(np.log(factor) - middle) < UNITS_TOLERANCE and abs(middle) > UNITS_TOLERANCE and spread < UNITS_TOLERANCE
    )
    if known or abs(middle) > np.log(UNKNOWN_UNITS):
        cause = UNITS[factor] if known else "no usual cause is known"
        case.flags.append(
            f"units: flops / (6 params tokens) is {np.exp(middle):.4g} across the table ({cause}); flops times "
            f"{np.exp(-middle):.4g} would agree"
        )
    return None


def _off_trend(case: _Case, _: Any) -> str | None:
    pairs = [(name, of) for name, of in (("lr", "params"), ("batch_size", "flops")) if case.has(name, of)]
    if not pairs:
        return "no column lr with params, no batch_size with flops"
    judged = 0
    for name, of in pairs:
        rows = case.alive(case.final)
        value, against = case.columns[name][rows], case.columns[of][rows]
        rows = rows[np.isfinite(value) & (value > 0) & (against > 0)]
        if len(rows) < TREND_RUNS:
            continue
        judged += 1
        y, x = np.log(case.columns[name][rows]), np.log(case.columns[of][rows])
        some = np.linspace(0, len(rows) - 1, min(len(rows), TREND_SAMPLE)).astype(int)
        slope = siegelslopes(y[some], x[some])[0] if np.ptp(x[some]) > 0 else 0.0
        off = y - slope * x
        off -= np.median(off)
        limit = max(np.log(HYPER_FACTOR), NOISE * _spread(off))
        found = {
            rows[i]: f"{name} is {np.exp(y[i]):.4g}, {np.exp(off[i]):.3g} times the other runs' trend in {of}"
            for i in np.flatnonzero(np.abs(off) > limit)
        }
        case.drop_exceptions(found, len(rows), "off_trend")
    return None if judged else f"fewer than {TREND_RUNS} runs give them"


def _outlier(case: _Case, fit: Callable[..., Fit]) -> str | None:
    rows = case.alive(case.final)
    columns = {name: case.columns[name][rows] for name in (*TRIO, "loss") if case.has(name)}
    chosen = outliers.choose_form(columns)
    if isinstance(chosen, str):
        return chosen
    found = outliers.find_outliers(columns, *chosen, fit)
    for i, detail in found.details.items():
        case.drop_run(rows[i], "outlier", detail)
    case.flags += [f"outlier: {note}" for note in found.notes]
    case.law = found.to_dict()
    return None


def _spread(values: np.ndarray) -> float:
    """Return the robust standard deviation around 0."""
    return 1.4826 * float(np.median(np.abs(values)))


_JUDGES = {
    "nan": _nan, "undecayed": _undecayed, "diverged": _diverged, "duplicate": _duplicate,
    "inconsistent_flops": _inconsistent_flops, "off_trend": _off_trend, "outlier": _outlier,
}  # fmt: skip
