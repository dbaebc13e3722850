"""What may make approaches disagree, each looked for in the rows themselves, and the rows without it.

A suspect is present only where the data show it beyond chance; whether it explains a disagreement is seen by running all approaches again
on its ``curves`` and ``ends``. The list is that of the literature: embeddings (Pearce & Song 2024, arXiv:2406.12907), warm-up, last layer and
decay (Porian et al. 2024, arXiv:2406.19146; Hoffmann et al. 2022, appendix B), curvature of the frontier (Hoffmann et al. 2022, appendix E).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from laimbench.errors import InputError
from laimbench.laws.approaches.frontier import Absent, Frontier
from laimbench.laws.approaches.rows import SAME_SIZE, Rows, groups
from laimbench.laws.approaches.study import Frontiers, Study
from laimbench.laws.fit import Fit
from laimbench.laws.outliers import RESIDUAL
from laimbench.laws.quality import DECAYED_TO, FINISHED

STANDS_OUT = 4.0  # standard errors of a median excess
CHANCE = 0.01  # of a coefficient's test
LEAST_ROWS = 4  # that show an excess
EMBEDDING_SHARE = 0.02  # by which the share of embeddings must vary between sizes
FEWEST_TOKENS = (0.1, 0.2, 0.3)  # shares of rows that may stand in the warm-up's shadow
MIDDLE = (0.2, 0.8)  # of a run's tokens: neither warming up nor about to end
LAST = 0.2  # of a run's tokens, over which its end is smoothed
LAST_EVALUATIONS = 5
NEARBY = 3.0  # sizes within this factor of the vertex


@dataclass(frozen=True)
class Suspect:
    """name; present: whether the data show it; evidence: the numbers; left_out: rows that the refit goes without.

    curves, ends, within: what ``Study.frontiers`` is run on instead; None where there is nothing to run on.
    """

    name: str
    present: bool
    evidence: str
    left_out: int = 0
    curves: Rows | None = None
    ends: Rows | None = None
    within: float | None = None


@dataclass(frozen=True)
class Case:
    """What the testers look at; scale: robust spread of the law's residuals in log loss."""

    study: Study
    curves: Rows
    ends: Rows
    law: Fit | None
    frontiers: Frontiers
    allowed: float

    @property
    def scale(self) -> float:
        return spread_of(self.ends, self.need_law())

    def need_law(self) -> Fit:
        if self.law is None:
            raise InputError("needs a law in params and tokens, which these rows do not give")
        return self.law


def look_for_all(case: Case) -> tuple[list[Suspect], dict[str, str]]:
    """Return the suspects, present or not, and those that could not be looked for, with the reason."""
    found, untested = [], {}
    for name, look in TESTERS.items():
        try:
            found.append(look(case, name))
        except InputError as error:
            untested[name] = str(error)
    return found, untested


def _embeddings(case: Case, name: str) -> Suspect:
    for other in ("params_non_embedding", "params_total"):
        if other in case.ends:
            shift = np.log(case.ends[other].astype(float) / case.ends["params"])
            if np.abs(shift).max() > 1e-9:
                break
    else:
        raise InputError("no column params_non_embedding (or params_total) that differs from params")
    low, high = np.quantile(-np.expm1(-np.abs(shift)), [0, 1])
    counted = "counted" if shift.mean() < 0 else "not counted"
    curves, ends = (rows.with_columns(params=rows[other].astype(float)) for rows in (case.curves, case.ends))
    return Suspect(
        name, bool(high - low > EMBEDDING_SHARE),
        f"embeddings, {counted} in params, are {low:.1%} to {high:.1%} of the total; refitted with {other}",
        curves=curves, ends=ends,
    )  # fmt: skip


def _undecayed(case: Case, name: str) -> Suspect:
    by_columns = _undecayed_by_columns(case.ends)
    if by_columns is not None and by_columns.any():
        curves = case.curves
        if "run" in curves:
            curves = curves.select(~np.isin(curves["run"], case.ends["run"][by_columns]))
        return Suspect(
            name, True, f"{by_columns.sum()} of {len(by_columns)} runs end with the learning rate not decayed",
            int(by_columns.sum()), curves, case.ends.select(~by_columns),
        )  # fmt: skip
    if not case.curves.has_curves:
        if by_columns is None:
            raise InputError("no training curves, and no columns decayed, final_lr and lr, or step and total_steps")
        return Suspect(name, False, "all runs end with the learning rate decayed")
    excess, how = _excess_in_the_middle(case)
    middle, error = float(np.median(excess)), _error(excess)
    present = bool(len(excess) >= LEAST_ROWS and middle > STANDS_OUT * error)
    kept = _ends_as_curves(case.ends)
    note = ""
    if kept is None:
        note = "; sizes have one end each, so that approach 1 has nothing to go by without the middles"
    return Suspect(
        name, present,
        f"losses in the middle of runs lie {middle:+.2%} ({STANDS_OUT:g} standard errors {STANDS_OUT * error:.2%}) from {how}{note}",
        len(case.curves) - len(case.ends), kept if kept is not None else case.ends, case.ends,
    )  # fmt: skip


def _undecayed_by_columns(ends: Rows) -> np.ndarray | None:
    """Return which runs' ends (rows,) are undecayed by their columns, by the rules of quality control; None without such columns."""
    found = None
    if "decayed" in ends:
        found = np.isin(np.char.lower(ends["decayed"].astype(str)), ("false", "no", "0", "0.0"))
    for numbers, limit, above in ((("final_lr", "lr"), DECAYED_TO, True), (("step", "total_steps"), FINISHED, False)):
        if all(column in ends for column in numbers):
            ratio = ends[numbers[0]].astype(float) / ends[numbers[1]].astype(float)
            wrong = ratio > limit if above else ratio < limit
            found = wrong if found is None else found | wrong
    return found


def _excess_in_the_middle(case: Case) -> tuple[np.ndarray, str]:
    """Return by how much in log loss runs lie in their middle above shorter runs of their size that end there; where there are no such
    runs, above the law of the ends, the median per run.
    """
    curves, ends = case.curves, case.ends
    labels, last = curves.labels, curves.last
    log_n, log_d, log_l = np.log(curves["params"]), np.log(curves["tokens"]), np.log(curves["loss"])
    found = []
    for end in np.flatnonzero(last):
        longer = log_d > log_d[end] - np.log(FINISHED)
        for other in np.flatnonzero(last & (np.abs(log_n - log_n[end]) < SAME_SIZE) & longer):
            run = np.flatnonzero(labels == labels[other])
            run = run[log_d[run].argsort()]
            if log_d[run[0]] <= log_d[end] and len(run) > 1:
                found.append(np.interp(log_d[end], log_d[run], log_l[run]) - log_l[end])
    if len(found) >= LEAST_ROWS:
        return np.array(found), f"the ends of shorter runs of the same size ({len(found)} pairs)"
    law = case.need_law()
    if isinstance(case.frontiers[3], Absent):
        raise InputError(
            f"no runs of equal size and unequal length, and no law of the ends: {case.frontiers[3].reason}"
        )
    share = curves["tokens"] / np.exp(log_d[last])[np.argsort(labels[last])][labels]
    middle = (share > MIDDLE[0]) & (share < MIDDLE[1]) & (curves["tokens"] >= ends["tokens"].min())
    excess = _residuals(curves, law)
    per_run = [np.median(excess[middle & (labels == run)]) for run in np.unique(labels[middle])]
    if len(per_run) < LEAST_ROWS:
        raise InputError("fewer than four runs have evaluations in their middle within the ends' range of tokens")
    return np.array(per_run), f"the law of the runs' ends ({len(per_run)} runs)"


def _ends_as_curves(ends: Rows) -> Rows | None:
    """Return the ends of runs with all runs of a size as one curve; None where too few sizes have two."""
    sizes = ends.sizes
    several = np.bincount(sizes)[sizes] >= 2
    if len(np.unique(sizes[several])) < 3:
        return None
    return Rows(ends.columns | {"run": sizes}, ends.per_token).select(several)


def _warm_up(case: Case, name: str) -> Suspect:
    """Compare the rows of fewest tokens with a law of the others."""
    law, best = case.need_law(), None
    for share in FEWEST_TOKENS:
        limit = float(np.quantile(case.ends["tokens"], share))
        rest = case.ends.select(case.ends["tokens"] >= limit)
        other = case.study.law(rest, near=law)
        few = case.ends.select(case.ends["tokens"] < limit)
        if len(few) < LEAST_ROWS:  # the middles of runs are the second choice: they may lie high for want of decay
            few = case.curves.select(case.curves["tokens"] < limit)
        labels = few.labels
        excess = _residuals(few, other)
        per_run = np.array([np.median(excess[labels == run]) for run in np.unique(labels)])
        if len(per_run) < LEAST_ROWS:
            continue
        spread = _spread(_residuals(rest, other))
        middle = float(np.median(per_run))
        score = middle / max(_error(per_run), 1.2533 * spread / np.sqrt(len(per_run)), 1e-12)
        if best is None or score > best[0]:
            best = score, middle, spread, limit, len(per_run), rest
    if best is None:
        raise InputError("fewer than four runs have rows among those of fewest tokens")
    score, middle, spread, limit, count, rest = best
    curves = case.curves.select(case.curves["tokens"] >= limit)
    return Suspect(
        name, bool(score > STANDS_OUT and middle > spread),
        f"below {limit:.3g} tokens {count} runs lie {middle:+.2%} from the law of the others ({score:.1f} standard errors)",
        len(case.curves) - len(curves), curves, rest,
    )  # fmt: skip


def _last_step(case: Case, name: str) -> Suspect:
    """Compare the last evaluation of runs with a line through their last fifth, at its end."""
    curves, ends = case.curves, case.ends
    if not curves.has_curves:
        raise InputError("no training curves to average the last steps of")
    labels, smooth = curves.labels, np.log(ends["loss"])
    of_end = ends["run"]
    enough = 0
    for i, run in enumerate(of_end):
        rows = np.flatnonzero((curves["run"] == run) & (curves["tokens"] >= (1 - LAST) * ends["tokens"][i]))
        if len(rows) < LAST_EVALUATIONS:
            continue
        enough += 1
        past = curves["tokens"][rows] / ends["tokens"][i] - 1.0
        smooth[i] = np.polyfit(past, np.log(curves["loss"][rows]), 1)[1]
    if enough < 0.5 * len(ends):
        raise InputError(f"{enough} of {labels.max() + 1} runs have {LAST_EVALUATIONS} evaluations in their last fifth")
    jump = _spread(np.log(ends["loss"]) - smooth)
    scale = case.scale
    return Suspect(
        name, bool(jump > 0.5 * scale and jump > 1e-4),
        f"the last evaluation of a run lies {jump:.2%} (robust spread) from a line through its last fifth, the law's residuals spread {scale:.2%}",
        0, curves, Rows(ends.columns | {"loss": np.exp(smooth)}, ends.per_token),
    )  # fmt: skip


def _ranges(case: Case, name: str) -> Suspect:
    """Compare the compute that each approach's answer comes from."""
    low, high = _common(case)
    inside = _within(case.ends, low, high)
    outside = 1 - inside.mean()
    curves = case.curves.select(_within(case.curves, low, high))
    return Suspect(
        name, bool(outside > 0.1),
        f"the approaches share {low:.3g} to {high:.3g} FLOPs ({np.log10(high / low):.1f} decades), {outside:.0%} of the runs end elsewhere",
        int((~inside).sum()), curves, case.ends.select(inside),
    )  # fmt: skip


def _curvature(case: Case, name: str) -> Suspect:
    """Test the quadratic term of log N* in log C over the vertices."""
    frontier = _needed(case, 2)
    x = np.log([p.compute for p in frontier.points])
    y = np.log([p.params.value for p in frontier.points])
    if len(x) < 5:
        raise InputError(f"{len(x)} vertices, expected five at least to see them bend")
    width = np.log([p.params.high / p.params.low for p in frontier.points])
    u = (x - x.mean()) / np.log(10)
    design = np.stack([np.ones_like(u), u, u**2], axis=1) / width[:, None]
    coefficients, *_ = np.linalg.lstsq(design, y / width, rcond=None)
    left = ((design @ coefficients - y / width) ** 2).sum() / (len(x) - 3)
    half = stdtrit(len(x) - 3, 1 - CHANCE / 2) * np.sqrt(left * np.linalg.inv(design.T @ design)[2, 2])
    change = 2 * coefficients[2] / np.log(10)  # of the slope per decade
    low, high = _common(case)
    upper = np.sqrt(low * high)
    ends, curves = (rows.select(_within(rows, upper, np.inf)) for rows in (case.ends, case.curves))
    return Suspect(
        name, bool(abs(coefficients[2]) > half),
        f"a changes by {change:+.3f} (99 %: {2 * half / np.log(10):.3f}) per decade along the vertices; refitted above {upper:.3g} FLOPs",
        len(case.ends) - len(ends), curves, ends,
    )  # fmt: skip


def _one_budget(case: Case, name: str) -> Suspect:
    """Leave out each budget in turn."""
    frontier = _needed(case, 2)
    if len(frontier.points) < 4:
        raise InputError(f"{len(frontier.points)} vertices, expected four at least to leave one out")
    label = groups(np.log(case.ends["flops"]), 0.05)
    found = []
    for point in frontier.points:
        budget = label[np.abs(np.log(case.ends["flops"] / point.compute)).argmin()]
        at = case.study.isoflop(case.ends.select(label != budget))
        if isinstance(at, Frontier):
            found.append((at.a.value, point.compute, budget))
    values = [a for a, *_ in found]
    if not found:
        raise InputError("no vertices are left without one budget")
    _, compute, budget = max(found, key=lambda one: abs(one[0] - frontier.a.value))
    kept = label != budget
    return Suspect(
        name, bool(max(values) - min(values) > case.allowed),
        f"a of approach 2 is {min(values):.3f} to {max(values):.3f} as one budget or another is left out (allowed {case.allowed:.3f}); "
        f"{compute:.3g} FLOPs decides",
        int((~kept).sum()), case.curves, case.ends.select(kept),
    )  # fmt: skip


def _far_sizes(case: Case, name: str) -> Suspect:
    frontier = _needed(case, 2)
    chance = "" if frontier.is_skewed else ", which may be chance"
    return Suspect(
        name, frontier.is_skewed, f"cubics have their minima {np.exp(frontier.skew):.3f} times the parabolas' vertices{chance}",
        0, case.curves, case.ends, NEARBY,
    )  # fmt: skip


def _outliers(case: Case, name: str) -> Suspect:
    residual = _residuals(case.ends, case.need_law())
    scale = max(case.scale, 1e-4)
    far = np.abs(residual) > RESIDUAL * scale
    curves = case.curves
    if "run" in curves:
        curves = curves.select(~np.isin(curves["run"], case.ends["run"][far]))
    worst = np.abs(residual).max() / scale
    return Suspect(
        name, bool(far.any()),
        f"{far.sum()} of {len(far)} runs lie {RESIDUAL:g} robust spreads ({scale:.2%}) or more from the law, the farthest {worst:.1f}",
        int(far.sum()), curves, case.ends.select(~far),
    )  # fmt: skip


def _needed(case: Case, number: int) -> Frontier:
    frontier = case.frontiers[number]
    if isinstance(frontier, Absent):
        raise InputError(f"approach {number} is absent: {frontier.reason}")
    return frontier


def _common(case: Case) -> tuple[float, float]:
    """Return the compute that all approaches' answers share."""
    domains = [frontier.domain for frontier in case.frontiers.values() if isinstance(frontier, Frontier)]
    if len(domains) < 2:
        raise InputError("fewer than two approaches have an answer")
    low, high = max(d[0] for d in domains), min(d[1] for d in domains)
    if high <= 2 * low:
        raise InputError("the approaches share less than a factor 2 of compute")
    return low, high


def _within(rows: Rows, low: float, high: float) -> np.ndarray:
    return (rows["flops"] >= low / 1.05) & (rows["flops"] <= high * 1.05)


def _residuals(rows: Rows, law: Fit) -> np.ndarray:
    """Return log loss observed less predicted, (rows,)."""
    return np.log(rows["loss"]) - np.log(law.predict(*(rows[name] for name in law.form.variables)))


def spread_of(rows: Rows, law: Fit | None) -> float:
    """Return the robust spread of a law's residuals in log loss, NaN without a law."""
    return np.nan if law is None else _spread(_residuals(rows, law))


def _spread(values: np.ndarray) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def _error(values: np.ndarray) -> float:
    """Return the standard error of a median, as of normal values."""
    return 1.2533 * _spread(values) / np.sqrt(max(len(values), 1))


TESTERS: dict[str, Callable[[Case, str], Suspect]] = {
    "embeddings": _embeddings,
    "decay not finished": _undecayed,
    "warm-up": _warm_up,
    "last step, not an average": _last_step,
    "different ranges of compute": _ranges,
    "curved frontier": _curvature,
    "one budget decides": _one_budget,
    "sizes far from the optimum": _far_sizes,
    "outliers": _outliers,
}


def describe(suspect: Suspect) -> dict[str, Any]:
    """Return what a reader is told of a suspect, fit for JSON."""
    return {name: getattr(suspect, name) for name in ("name", "present", "evidence", "left_out")}
