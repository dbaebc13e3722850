"""Approaches 1, 2 and 3 side by side, and where they disagree beyond their intervals, why: by refitting without each suspect that the data show.

>>> found = laws.compare_approaches(table.runs())
>>> found.approaches[2].a, found.disagreements[0].likely
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import ndtri

from laimbench.errors import InputError
from laimbench.laws.approaches.causes import Case, Suspect, describe, look_for_all, spread_of
from laimbench.laws.approaches.frontier import Frontier, Split
from laimbench.laws.approaches.rows import Rows
from laimbench.laws.approaches.study import Frontiers, Study
from laimbench.laws.fit import Fit
from laimbench.laws.forms import Form, get_form
from laimbench.laws.intervals import LEVEL
from laimbench.laws.planning.law import Estimate

QUANTITIES = ("a", "params")
CLOSED = 0.5  # of a gap: what leaves more of it has not closed it
MOST_BUDGETS = 6


@dataclass(frozen=True)
class Explanation:
    """What a refit without a suspect changes.

    gap: what is left of it, NaN where an approach has nothing left to go by; closes: less than half of the gap, and less than the intervals
    allow; scatter: the law's residual spread, relative to that of all rows (below 1: the law fits better), NaN without a law.
    """

    name: str
    gap: float
    closes: bool
    scatter: float

    def to_dict(self) -> dict[str, Any]:
        return {name: None if value != value else value for name, value in vars(self).items()}  # JSON has no NaN


@dataclass(frozen=True)
class Disagreement:
    """Two approaches that differ beyond their intervals.

    quantity: "a", or "params" for log N* at ``compute``; gap: the first's value less the second's; allowed: the most that the intervals explain;
    explanations: the suspects that are present, the best first.
    """

    quantity: str
    first: int
    second: int
    compute: float
    values: tuple[Estimate, Estimate]
    gap: float
    allowed: float
    explanations: tuple[Explanation, ...]

    @property
    def likely(self) -> tuple[str, ...]:
        """Suspects whose absence closes the gap, first the one that leaves least of the gap and of the law's scatter."""
        return tuple(e.name for e in self.explanations if e.closes)

    @property
    def statement(self) -> str:
        what = "a" if self.quantity == "a" else f"N* at {self.compute:.3g} FLOPs"
        first, second = (f"{value.value:.3g} ({value.low:.3g} to {value.high:.3g})" for value in self.values)
        text = f"{what}: approach {self.first} says {first}, approach {self.second} {second}"
        if self.likely:
            others = f" (as it does without {', '.join(self.likely[1:])})" if len(self.likely) > 1 else ""
            return f"{text}; likely cause: {self.likely[0]}, without which the gap closes{others}"
        seen = ", ".join(e.name for e in self.explanations)
        return f"{text}; {f'seen, but not the reason: {seen}' if seen else 'none of the causes looked for is seen'}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "quantity": self.quantity,
            "approaches": [self.first, self.second],
            "compute": self.compute,
            "values": [value.to_dict() for value in self.values],
            "gap": self.gap,
            "allowed": self.allowed,
            "likely": list(self.likely),
            "explanations": [e.to_dict() for e in self.explanations],
            "statement": self.statement,
        }


@dataclass(frozen=True)
class Comparison:
    """approaches: by number, a frontier or why there is none; budgets (FLOPs) and splits: N*, D*, tokens per parameter of each approach there;
    suspects: what was looked for in the rows, present or not; untested: what could not be, and why; law: of approach 3.
    """

    approaches: Frontiers
    budgets: tuple[float, ...]
    splits: dict[int, tuple[Split, ...]]
    disagreements: tuple[Disagreement, ...]
    suspects: tuple[Suspect, ...]
    untested: dict[str, str]
    rows: int
    runs: int
    level: float
    law: Fit | None = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the law's own numbers, fit for JSON."""
        return {
            "rows": self.rows,
            "runs": self.runs,
            "level": self.level,
            "budgets": list(self.budgets),
            "approaches": [
                approach.to_dict() | {"splits": [split.to_dict() for split in self.splits.get(number, ())]}
                for number, approach in self.approaches.items()
            ],
            "disagreements": [d.to_dict() for d in self.disagreements],
            "suspects": [describe(s) for s in self.suspects],
            "untested": self.untested,
        }


def compare(
    runs: Mapping[str, Any],
    *,
    form: Form | str = "chinchilla",
    budgets: Sequence[float] | None = None,
    bootstrap: int = 400,
    seed: int = 0,
    level: float = LEVEL,
    log_loss: bool = True,
    smooth: float = 0.0,
    within: float | None = None,
    **fit_options: Any,
) -> Comparison:
    """Return all three approaches on one table.

    Args:
        runs: columns by name as ``Table.runs`` gives them: loss, and two at least of params, tokens, flops; run where rows are evaluations of
            training curves (approach 1 takes all of them, 2 and 3 the last of each run); params_non_embedding, budget, decayed, lr, final_lr,
            step, total_steps where there are any.
        form: of approach 3, a law in params and tokens.
        budgets: FLOPs at which N* and D* are told, by default decades from the least compute of the runs to ten times the largest.
        bootstrap: resamples of approaches 1 (runs) and 3 (rows); with 0 these have no intervals, and disagreement with them is not judged.
        log_loss, within: of approach 2 (``fit_isoflop``); smooth: of approach 1 (``fit_envelope``).
        fit_options: of approach 3: loss_function, delta, fixed, bounds (``fit_form``).

    Two approaches disagree when they differ in a, or in N* at the middle of the compute they share, by more than their intervals added in
    quadrature, at a level that allows for all pairs and quantities (Bonferroni). They share rows, so that this errs towards agreement.

    Raises:
        InputError: columns that are missing or wrong, a budget that is not positive. An approach that the rows do not allow is absent, with
            the reason.
    """
    rows = Rows.of(runs)
    study = Study(get_form(form) if isinstance(form, str) else form, fit_options, log_loss, smooth, within, seed, level)
    ends = rows.ends
    frontiers, law = study.frontiers(rows, ends, bootstrap=bootstrap)
    found = {number: frontier for number, frontier in frontiers.items() if isinstance(frontier, Frontier)}
    wanted = _decades(ends) if budgets is None else tuple(float(c) for c in budgets)
    if not all(np.isfinite(c) and c > 0 for c in wanted):
        raise InputError(f"budgets are {', '.join(f'{c:g}' for c in wanted)}, expected positive finite FLOPs")
    disagreements, suspects, untested = _disagreements(study, rows, ends, law, frontiers)
    return Comparison(
        approaches=frontiers,
        budgets=wanted,
        splits={number: tuple(frontier.at(c) for c in wanted) for number, frontier in found.items()},
        disagreements=disagreements,
        suspects=suspects,
        untested=untested,
        rows=len(rows),
        runs=len(ends),
        level=level,
        law=law,
    )


def _decades(ends: Rows) -> tuple[float, ...]:
    if not len(ends):
        return ()
    low, high = np.ceil(np.log10(ends["flops"].min()) - 1e-6), np.floor(np.log10(ends["flops"].max()) + 1e-6) + 1
    every = np.arange(low, high + 1)
    return tuple(float(10.0**c) for c in every[-MOST_BUDGETS:])


def _disagreements(study: Study, rows: Rows, ends: Rows, law: Fit | None, frontiers: Frontiers):
    """Return the disagreements, the suspects, and those that could not be looked for."""
    present = [number for number, frontier in frontiers.items() if isinstance(frontier, Frontier)]
    pairs = [(i, j, quantity) for i, j in combinations(present, 2) for quantity in QUANTITIES]
    judged = {pair: _judge(frontiers, *pair, tests=len(pairs), level=study.level) for pair in pairs}
    flagged = {pair: at for pair, at in judged.items() if at is not None and abs(at[0]) > at[1]}
    of_a = [at[1] for pair, at in judged.items() if at is not None and pair[2] == "a"]
    suspects, untested = look_for_all(Case(study, rows, ends, law, frontiers, min(of_a, default=np.inf)))
    if not flagged:
        return (), tuple(suspects), untested
    refits = {}
    for s in suspects:
        if s.present and s.ends is not None and len(s.ends):
            refit, without = study.frontiers(s.curves, s.ends, near=law, within=s.within)
            refits[s.name] = refit, spread_of(s.ends, without) / max(spread_of(ends, law), 1e-12)
    found = []
    for (i, j, quantity), (gap, allowed, compute, values) in flagged.items():
        explanations = []
        for name, (refit, scatter) in refits.items():
            left = np.nan
            if isinstance(refit[i], Frontier) and isinstance(refit[j], Frontier):
                left = _gap(refit[i], refit[j], quantity, _middle(refit[i], refit[j]))
            explanations.append(Explanation(name, left, bool(abs(left) <= min(allowed, CLOSED * abs(gap))), scatter))
        explanations.sort(key=lambda e, most=allowed: (not e.closes, _left(e, most)))
        found.append(Disagreement(quantity, i, j, compute, values, gap, allowed, tuple(explanations)))
    return tuple(found), tuple(suspects), untested


def _left(explanation: Explanation, allowed: float) -> float:
    """Return what a refit leaves of the gap and of the law's scatter, infinite where there is none."""
    return float(np.nan_to_num(abs(explanation.gap) / allowed + explanation.scatter, nan=np.inf))


def _judge(frontiers, i: int, j: int, quantity: str, *, tests: int, level: float):
    """Return gap, the most that the intervals allow, compute, and both estimates; None where an interval is missing."""
    first, second = frontiers[i], frontiers[j]
    compute = _middle(first, second)
    values = tuple(f.a if quantity == "a" else f.at(compute).params for f in (first, second))
    if any(value.low is None or value.high is None for value in values):
        return None
    scale = np.log if quantity == "params" else np.asarray
    gap = _gap(first, second, quantity, compute)
    upper, lower = values if gap > 0 else values[::-1]
    half = np.hypot(scale(upper.value) - scale(upper.low), scale(lower.high) - scale(lower.value))
    widened = ndtri(1 - (1 - level) / (2 * tests)) / ndtri((1 + level) / 2)
    return gap, float(widened * half), compute, values


def _gap(first: Frontier, second: Frontier, quantity: str, compute: float) -> float:
    if quantity == "a":
        return first.a.value - second.a.value
    return float(np.log(first.at(compute).params.value / second.at(compute).params.value))


def _middle(first: Frontier, second: Frontier) -> float:
    """Return the middle of the compute that two frontiers share, or of the space between them."""
    low, high = max(first.domain[0], second.domain[0]), min(first.domain[1], second.domain[1])
    return float(np.sqrt(low * high))
