"""The effective compute multiplier: how many times B's compute A would have needed for B's loss.

One law for both sides, L_A(C) = E + a C^-b and L_B(C) = E + a (m C)^-b, fitted to the final losses of the whole ladder on the scale of
log loss: m shifts B's curve along the compute axis, so it is defined by the whole curves and not at one point. Seeds are what varies:
both sides' runs of a seed share its luck, so that the jackknife leaves out a seed on both sides at once; its pseudo-values give Student's
interval of log m. With seconds in place of FLOPs the same fit says what B is worth at equal wall time.

What it is not: B's law may have another exponent or another E; then m depends on where it is read, and the one given is the ladder's.
The interval knows the seeds and not the law's form.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

LEVEL = 0.95
FEWEST_SEEDS = 3
FEWEST_BUDGETS = 5  # distinct budgets below which E cannot be told from the exponent: then E = 0, a local slope


@dataclass(frozen=True)
class Multiplier:
    """value: m, with its interval at LEVEL (None with fewer than three seeds); law: E, a and b of side A; seeds: how many."""

    value: float
    interval: tuple[float, float] | None
    law: dict[str, float]
    seeds: int

    def to_dict(self) -> dict[str, Any]:
        return {"value": self.value, "interval": self.interval, "level": LEVEL, "law": self.law, "seeds": self.seeds}

    def text(self) -> str:
        if self.interval is None:
            return f"{self.value:.3f} (no interval: fewer than three seeds)"
        low, high = self.interval
        return f"{self.value:.3f} (95 %: {low:.3f} to {high:.3f})"


def effective_multiplier(
    compute: np.ndarray, loss: np.ndarray, side: np.ndarray, seed: np.ndarray, *, irreducible: bool | None = None
) -> Multiplier:
    """Fit both sides' final losses.

    Args:
        compute: FLOPs (or seconds) of each run. loss: its final loss, nats. side: 0 for A, 1 for B. seed: paired over sides.
        irreducible: fit E too; by default from five distinct budgets on.

    Raises:
        ValueError: a side has fewer than two budgets, or a value is not positive and finite.
    """
    compute, loss = np.asarray(compute, float), np.asarray(loss, float)
    side, seed = np.asarray(side), np.asarray(seed)
    if not (np.isfinite(compute).all() and np.isfinite(loss).all() and (compute > 0).all() and (loss > 0).all()):
        raise ValueError("compute and loss must be positive and finite")
    # Budgets that are nearly the same, as times of one size, count once.
    budgets = [len(np.unique(np.round(np.log(compute[side == s]), 1))) for s in (0, 1)]
    if min(budgets) < 2:
        raise ValueError(f"{min(budgets)} budget of compute on one side, expected two or more")
    with_e = min(budgets) >= FEWEST_BUDGETS if irreducible is None else irreducible
    scale = float(np.exp(np.mean(np.log(compute))))
    x, of_b = np.log(compute / scale), side == 1
    everything = _fit(x, loss, of_b, with_e)
    ends = _log_loss(everything, np.array([x.min(), x.max()]), np.array([False, False]))
    noise = np.std(np.log(loss) - _log_loss(everything, x, of_b))
    if not ends[0] - ends[1] > max(2 * noise, 1e-6):
        raise ValueError("the loss does not fall with compute by more than its noise")
    e, log_a, b, log_m = map(float, everything)
    law = {"E": e, "a": math.exp(log_a) * scale**b, "b": b}
    seeds = np.unique(seed)
    n, interval = len(seeds), None
    if n >= FEWEST_SEEDS:
        left_out = np.array([_fit(x[kept], loss[kept], of_b[kept], with_e, everything)[3]
                             for kept in (seed != one for one in seeds)])  # fmt: skip
        pseudo = n * log_m - (n - 1) * left_out
        half = float(student.ppf((1 + LEVEL) / 2, n - 1) * pseudo.std(ddof=1) / math.sqrt(n))
        interval = math.exp(pseudo.mean() - half), math.exp(pseudo.mean() + half)
    return Multiplier(math.exp(log_m), interval, law, n)


def _log_loss(theta: np.ndarray, x: np.ndarray, of_b: np.ndarray) -> np.ndarray:
    """log(E + a (m C)^-b) of log compute x; m on side B only."""
    e, log_a, b, log_m = theta
    return np.log(e + np.exp(log_a - b * (x + log_m * of_b)))


def _fit(
    x: np.ndarray, loss: np.ndarray, of_b: np.ndarray, with_e: bool, start: np.ndarray | None = None
) -> np.ndarray:
    """Return (E, log a, b, log m) of least squares in log loss, from ``start`` or from guesses of its own."""
    target, lowest = np.log(loss), float(loss.min())

    def jacobian(theta: np.ndarray) -> np.ndarray:
        e, log_a, b, log_m = theta
        power = np.exp(log_a - b * (x + log_m * of_b))
        share = power / (e + power)
        return np.stack([1 / (e + power), share, -share * (x + log_m * of_b), -share * b * of_b], axis=1)

    starts = [] if start is None else [start]
    if not starts:
        for e in (0.9 * lowest, 0.6 * lowest, 0.2 * lowest) if with_e else (0.0,):
            slope, level = np.polyfit(x, np.log(loss - e), 1)
            starts.append(np.array([e, level, max(-slope, 0.01), 0.0]))
    first = 0 if with_e else 1  # without an irreducible loss the first parameter stays 0
    low, high = np.array([0, -np.inf, 1e-5, -20])[first:], np.array([lowest, np.inf, 30, 20])[first:]
    whole = lambda theta: np.concatenate([np.zeros(first), theta])  # noqa: E731
    fits = [
        least_squares(lambda t: _log_loss(whole(t), x, of_b) - target, np.clip(guess[first:], low, high), lambda t: jacobian(whole(t))[:, first:],
                      bounds=(low, high), x_scale="jac")
        for guess in starts
    ]  # fmt: skip
    return whole(min(fits, key=lambda fit: fit.cost).x)
