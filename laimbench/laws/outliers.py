"""Outliers of a table of runs by their influence on the fitted law."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from laimbench.laws.columns import TRIO
from laimbench.laws.fit import Fit
from laimbench.laws.forms import CHINCHILLA, POWER_LAW, Form

RESIDUAL = (
    5.0  # robust standard deviations: a normal row in 1.7 million, one in 90 where tails are those of Student's t3
)
INFLUENCE = 4.0  # Cook's distance over 4 / rows, the usual cut (Bollen and Jackman 1990)
ROUNDS = 3  # outliers hide each other: what the first fit was bent by is gone in the second
CANDIDATES = 20  # per round, each costs a fit
LARGEST_SHARE = 0.2  # of rows beyond RESIDUAL: with more of them the form is wrong, not the rows
SAMPLE = 2_000  # rows fitted: more tell the residuals' scale no better
SMALLEST_SCALE = 1e-4  # of log losses: four printed digits are no outlier


@dataclass(frozen=True)
class Outliers:
    """Rows found with the numbers that condemn them, and the law's parameters with and without these rows."""

    details: dict[int, str]
    form: str
    with_them: dict[str, float]
    without_them: dict[str, float]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the law with and without the outliers, fit for JSON."""
        return {"form": self.form, "with": self.with_them, "without": self.without_them}


def choose_form(columns: Mapping[str, np.ndarray]) -> tuple[Form, tuple[str, ...]] | str:
    """Return the form that these columns allow with its columns' names, or in words why none can be judged."""
    rows = len(columns["loss"])
    distinct = {name: len(np.unique(columns[name])) for name in TRIO if name in columns}
    if distinct.get("params", 0) >= 3 and distinct.get("tokens", 0) >= 3 and rows >= 3 * CHINCHILLA.size:
        return CHINCHILLA, ("params", "tokens")
    if distinct.get("flops", 0) >= 3 and rows >= 3 * POWER_LAW.size:
        return POWER_LAW, ("flops",)
    return f"{rows} runs with {distinct} distinct values, expected 3 of each and {3 * POWER_LAW.size} runs or more"


def find_outliers(
    columns: Mapping[str, np.ndarray], form: Form, names: tuple[str, ...], fit: Callable[..., Fit], seed: int = 0
) -> Outliers:
    """Find rows that are far from the law and move it.

    A row goes when its residual of log loss exceeds RESIDUAL robust standard deviations (1.4826 x the median absolute
    residual, corrected for the parameters fitted) of a fit by the Huber loss, and its Cook's distance, the mean square change
    of the predicted log losses when that row alone is left out, in units of the parameters' share of the noise, exceeds
    INFLUENCE / rows. Repeated on what is left, ROUNDS times at most; a row that the last law fits after all comes back. Beyond SAMPLE rows the fit uses a seeded sample, and a
    candidate outside of it is judged by the change when it joins.

    Args:
        columns: positive finite (rows,) arrays, with loss; form, names: the law and its variables' columns; fit: ``fit_form``.

    Source: Cook 1977 (Technometrics 19, 15); Huber 1964.
    """
    x, loss = [np.asarray(columns[name], dtype=float) for name in names], np.asarray(columns["loss"], dtype=float)
    alive = np.ones(len(loss), dtype=bool)
    sampled = np.zeros(len(loss), dtype=bool)
    sampled[np.random.default_rng(seed).permutation(len(loss))[:SAMPLE]] = True
    details: dict[int, str] = {}
    notes: list[str] = []

    def fitted(mask: np.ndarray) -> Fit:
        return fit(form, tuple(column[mask] for column in x), loss[mask], bootstrap=0)

    def scored(law: Fit) -> tuple[np.ndarray, np.ndarray, float, int]:
        """Return predicted log losses, residuals in robust standard deviations, that deviation, and the rows it is of."""
        predicted, used = np.log(law.predict(*x)), alive & sampled
        residual, rows = np.log(loss) - predicted, int(used.sum())
        scale = 1.4826 * np.median(np.abs(residual[used])) * np.sqrt(rows / max(rows - form.size, 1))
        scale = max(float(scale), SMALLEST_SCALE)
        return predicted, residual / scale, scale, rows

    first = base = fitted(sampled)
    for turn in range(1, ROUNDS + 1):
        predicted, scores, scale, rows = scored(base)
        used = alive & sampled
        candidates = np.flatnonzero(alive & (np.abs(scores) > RESIDUAL))
        if len(candidates) > LARGEST_SHARE * alive.sum():
            notes.append(
                f"{len(candidates)} of {alive.sum()} runs are far off {form.equation}: it does not describe them, which no "
                "outlier explains"
            )
            break
        found = []
        for i in candidates[np.argsort(-np.abs(scores[candidates]), kind="stable")][:CANDIDATES]:
            other = used.copy()
            other[i] = not other[i]
            change = np.log(fitted(other).predict(*(column[used] for column in x))) - predicted[used]
            distance = float((change**2).sum() / (form.size * scale**2))
            if distance > INFLUENCE / rows:
                found.append(i)
                details[int(i)] = (
                    f"loss {loss[i]:.5g}, {form.equation} gives {np.exp(predicted[i]):.5g}: {scores[i]:+.1f} robust standard "
                    f"deviations, Cook's distance {distance:.3g} (limit {INFLUENCE / rows:.3g}), round {turn}"
                )
        if not found:
            break
        alive[found] = False
        base = fitted(alive & sampled)
    if details:
        back = np.flatnonzero(~alive & (np.abs(scored(base)[1]) <= RESIDUAL))
        if len(back):
            for i in back:
                del details[int(i)]
            alive[back] = True
            base = fitted(alive & sampled)
    scores = scored(base)[1]
    harmless = np.flatnonzero(alive & (np.abs(scores) > RESIDUAL))
    if len(harmless) and not notes:
        worst = harmless[np.abs(scores[harmless]).argmax()]
        notes.append(
            f"{len(harmless)} more runs are {RESIDUAL:g} robust standard deviations or more off the law but do not move it, and "
            f"are kept (the farthest has loss {loss[worst]:.5g}, {scores[worst]:+.1f})"
        )
    return Outliers(details, form.equation, first.params, base.params, notes)
