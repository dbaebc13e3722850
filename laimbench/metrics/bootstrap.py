"""Intervals of metrics by resampling clusters: documents, windows, items.

What is assumed: the clusters are independent draws from one population, and the interval is about other clusters of that population
judged by the same model. Rows of one cluster may depend on each other in any way. So tokens are never resampled: neighbours are alike,
and an interval from them is far too short. Windows that overlap or come out of the same document belong to one cluster. The spread over
training seeds is not in it. Of few clusters intervals are too short, whatever the kind: how much, docs/metrics.md has.

Two models on the same items: take the interval of the difference, per item, which leaves out what the items share. Of two ratios with one
denominator (bits per byte) it is ``ratio_interval(numerators_a - numerators_b, denominators)``.

Source: Efron & Tibshirani 1993, chapters 13 (percentile) and 14 (BCa: Efron 1987).
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from laimbench.errors import InputError

LEVEL, SAMPLES = 0.95, 2000
KINDS = ("bca", "percentile")
DRAWN_TOGETHER = 1 << 22  # clusters, for the memory's sake
MOST_GROUPS = (
    200  # of the jackknife of a statistic that is computed anew each time: more clusters are left out in groups
)
NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """A statistic of the data and the interval's ends, in its units; of how many clusters."""

    estimate: float
    lower: float
    upper: float
    level: float
    kind: str
    clusters: int


def ratio_interval(
    numerators: Any,
    denominators: Any,
    clusters: Any = None,
    *,
    kind: str = "bca",
    level: float = LEVEL,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the interval of sum(numerators) / sum(denominators), all samples computed at once.

    Bits per byte: losses / ln 2 and bytes. An error rate: edits and reference lengths. A mean, as accuracy or log loss: values and 1.

    Args:
        numerators: (n,) sums of a row: an item, a window.
        denominators: (n,), or one number for every row; 0 or more.
        clusters: (n,) labels; rows of one label are drawn together. None: each row by itself.
        kind: "bca", which corrects the percentiles' bias and skew, or "percentile".
        level: between 0 and 1.
        samples: of the bootstrap.
        seed: the same seed gives the same interval.

    Raises:
        InputError: numbers that do not match or are not finite, fewer than two clusters, denominators that are negative or
            sum to 0, an unknown kind, a level outside of 0 to 1, fewer than one sample.
    """
    numerators = np.asarray(numerators, dtype=float)
    if numerators.ndim != 1:
        raise InputError(f"numerators has shape {numerators.shape}, expected (n,)")
    try:
        denominators = np.broadcast_to(np.asarray(denominators, dtype=float), numerators.shape)
    except ValueError:
        raise InputError(
            f"denominators has shape {np.shape(denominators)}, expected {numerators.shape} as numerators"
        ) from None
    if not (np.isfinite(numerators).all() and np.isfinite(denominators).all() and (denominators >= 0).all()):
        raise InputError("numerators and denominators have values that are NaN, infinite or negative denominators")
    count, cluster = _clusters(clusters, len(numerators))
    above, below = np.bincount(cluster, numerators, count), np.bincount(cluster, denominators, count)
    if not ((below.sum() - below) > 0).all():
        raise InputError("denominators are 0 but of one cluster, expected two clusters or more with some")
    rng, drawn = _generator(kind, level, samples, seed), np.empty(samples)
    together = max(1, DRAWN_TOGETHER // count)
    for first in range(0, samples, together):
        part = drawn[first : first + together]
        picked = rng.integers(0, count, (len(part), count))
        with np.errstate(invalid="ignore", divide="ignore"):  # samples of clusters without denominator are left out
            part[:] = above[picked].sum(1) / below[picked].sum(1)
    left_out = (above.sum() - above) / (below.sum() - below)
    return _interval(float(above.sum() / below.sum()), drawn, left_out, kind, level, count)


def interval(
    statistic: Callable[[np.ndarray], float],
    rows: int,
    clusters: Any = None,
    *,
    kind: str = "bca",
    level: float = LEVEL,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the interval of any statistic, which is called once for each sample.

    Macro F1: ``lambda weights: scores(confusion_matrix(target, predicted, classes, weights)).macro_f1``. What takes no weights, as chrF,
    takes rows repeated: ``chosen = np.repeat(np.arange(n), weights)``.

    Args:
        statistic: of how often each row was drawn, (rows,) int64, to a number. Samples where it is NaN (what it needs was not
            drawn) are left out; where more than half are, there is no interval.
        rows: n, how many there are.
        clusters, kind, level, samples, seed: as in ``ratio_interval``.

    Raises:
        InputError: as in ``ratio_interval``; a statistic that is NaN of the data or of most samples.
    """
    count, cluster = _clusters(clusters, rows)
    rng = _generator(kind, level, samples, seed)
    drawn = np.empty(samples)
    for i in range(samples):
        drawn[i] = statistic(np.bincount(rng.integers(0, count, count), minlength=count)[cluster])
    groups = min(count, MOST_GROUPS)
    group = np.random.default_rng((seed, 1)).permutation(count)[cluster] % groups
    without = range(groups if kind == "bca" else 0)
    left_out = np.array([statistic((group != i).astype(np.int64)) for i in without])
    return _interval(float(statistic(np.ones(rows, dtype=np.int64))), drawn, left_out, kind, level, count)


def _clusters(labels: Any, rows: int) -> tuple[int, np.ndarray]:
    """Return how many clusters there are, and the number of each row's."""
    cluster = np.arange(rows)
    if labels is not None:
        if np.shape(labels) != (rows,):
            raise InputError(f"clusters has shape {np.shape(labels)}, expected ({rows},)")
        cluster = np.unique(np.asarray(labels), return_inverse=True)[1]
    count = int(cluster.max(initial=-1)) + 1
    if count < 2:
        raise InputError(f"{count} clusters, expected two or more: one has no spread")
    return count, cluster


def _generator(kind: str, level: float, samples: int, seed: int) -> np.random.Generator:
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}")
    if not 0 < level < 1:
        raise InputError(f"level is {level}, expected a number between 0 and 1")
    if samples < 1:
        raise InputError(f"samples is {samples}, expected 1 or more")
    return np.random.default_rng(seed)


def _interval(
    estimate: float, drawn: np.ndarray, left_out: np.ndarray, kind: str, level: float, clusters: int
) -> Interval:
    sound = drawn[np.isfinite(drawn)]
    if not np.isfinite(estimate) or 2 * len(sound) <= len(drawn):
        raise InputError(
            f"statistic is {estimate}, and no number in {len(drawn) - len(sound)} of {len(drawn)} samples, expected numbers"
        )
    tails = (1 - level) / 2, (1 + level) / 2
    if kind == "bca":
        tails = _corrected(tails, estimate, sound, left_out[np.isfinite(left_out)])
    lower, upper = np.quantile(sound, tails)
    return Interval(estimate, float(lower), float(upper), level, kind, clusters)


def _corrected(
    tails: tuple[float, float], estimate: float, drawn: np.ndarray, left_out: np.ndarray
) -> tuple[float, ...]:
    """Return BCa's tails: Efron & Tibshirani 1993, equations 14.9 to 14.15; samples that equal the estimate count half."""
    below = ((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2
    bias = NORMAL.inv_cdf(float(np.clip(below, 1 / (len(drawn) + 1), len(drawn) / (len(drawn) + 1))))
    pull = left_out.mean() - left_out if len(left_out) else left_out
    spread = (pull**2).sum()
    acceleration = (pull**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    found = []
    for tail in tails:
        z = bias + NORMAL.inv_cdf(tail)
        # Beyond the correction's pole (never met by sound data) the outermost sample is the honest end.
        found.append(NORMAL.cdf(bias + z / max(1 - acceleration * z, 1e-3)))
    return tuple(found)
