"""How often a model continues its training text word for word, against text that it never saw.

Source: Carlini, Ippolito, Jagielski, Lee, Tramèr & Zhang 2023, "Quantifying Memorization Across Neural Language Models":
a continuation is extractable with k tokens of context when greedy decoding after these k tokens gives it exactly.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import beta, norm

from laimbench.errors import InputError
from laimbench.responsible.model import LanguageModel

LEVEL = 0.95
BATCH = 64


@dataclass(frozen=True)
class Rate:
    """A share of reproduced continuations with its Clopper–Pearson interval."""

    reproduced: int
    windows: int
    interval: tuple[float, float]

    @property
    def share(self) -> float:
        return self.reproduced / self.windows


@dataclass(frozen=True)
class Memorisation:
    """Rates on training and held-out windows; ``difference`` (training less held-out) is what memory adds to predictability.

    Text may be continued exactly because it is predictable (an import line, a licence): held-out windows show how often.
    """

    prefix: int
    continuation: int
    training: Rate
    held_out: Rate
    difference: float
    difference_interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, fit for JSON."""
        document = asdict(self)
        for side in ("training", "held_out"):
            document[side]["share"] = getattr(self, side).share
        return document


def continuation_rates(
    model: LanguageModel, training: np.ndarray, held_out: np.ndarray, *, prefix: int, continuation: int
) -> Memorisation:
    """Return how often greedy decoding after ``prefix`` tokens gives the window's next ``continuation`` tokens exactly.

    Args:
        model: any that keeps the protocol.
        training: (n, L) windows that the model was trained on; of ``TokenWindows`` those of the run's own seed and
            steps, for other windows of the same stream may be unseen. L at least prefix + continuation.
        held_out: (m, L) windows that it was not trained on, of the same kind of text.
        prefix: tokens given, k; continuation: tokens wanted, m; together at most the model's seqlen + 1.

    The intervals take windows for independent draws; windows that overlap or stem from few documents make them too narrow.

    Raises:
        InputError: no windows, windows or a model too short, or continuations of a wrong shape.
    """
    if prefix < 1 or continuation < 1:
        raise InputError(f"prefix {prefix} and continuation {continuation}, expected 1 or more")
    if prefix + continuation > model.seqlen + 1:
        raise InputError(
            f"prefix {prefix} and continuation {continuation} together, expected at most the model's seqlen + 1 = "
            f"{model.seqlen + 1}"
        )
    rates = [
        _rate(model, windows, prefix, continuation, side)
        for side, windows in (("training", training), ("held-out", held_out))
    ]
    low, high = difference_interval(*rates)
    return Memorisation(prefix, continuation, *rates, rates[0].share - rates[1].share, (low, high))


def _rate(model: LanguageModel, windows: np.ndarray, prefix: int, continuation: int, side: str) -> Rate:
    if windows.ndim != 2 or not len(windows) or windows.shape[1] < prefix + continuation:
        raise InputError(
            f"{side} windows have shape {windows.shape}, expected one or more of at least {prefix + continuation} tokens"
        )
    reproduced = 0
    for first in range(0, len(windows), BATCH):
        batch = windows[first : first + BATCH]
        produced = np.asarray(model.continue_greedily(batch[:, :prefix], continuation))
        if produced.shape != (len(batch), continuation):
            raise InputError(
                f"the model's continuations have shape {produced.shape}, expected {(len(batch), continuation)}"
            )
        reproduced += int((produced == batch[:, prefix : prefix + continuation]).all(axis=1).sum())
    return Rate(reproduced, len(windows), clopper_pearson(reproduced, len(windows)))


def clopper_pearson(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a binomial share (Clopper & Pearson 1934): covers with at least ``level``."""
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, successes, trials - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high


def difference_interval(first: Rate, second: Rate, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of first less second by Newcombe 1998, method 10 (from Wilson's): of use at shares of 0 and 1 too,
    where a bootstrap has no spread.
    """
    (l1, u1), (l2, u2) = (_wilson(rate, level) for rate in (first, second))
    p1, p2 = first.share, second.share
    low = p1 - p2 - float(np.hypot(p1 - l1, u2 - p2))
    return max(-1.0, low), min(1.0, p1 - p2 + float(np.hypot(u1 - p1, p2 - l2)))


def _wilson(rate: Rate, level: float) -> tuple[float, float]:
    n, p, z = rate.windows, rate.share, float(norm.ppf((1 + level) / 2))
    middle, half = (p + z * z / (2 * n)), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return float((middle - half) / (1 + z * z / n)), float((middle + half) / (1 + z * z / n))
