"""Time several ways of doing the same work so that a noisy machine hits all alike.

In every repetition each side runs once, in an order that rotates; ratios are taken within a repetition, where the machine was
the same for both, and only then summarised by the median.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SAMPLE_S = 0.005  # one sample lasts at least this long, by repeating the call
LEVEL = 0.95


def clock_of(device: str) -> Callable[[], float]:
    """Return a clock in seconds that is read when the device has done all that it was given."""
    if device == "cpu":
        return time.perf_counter

    def clock() -> float:
        import torch

        torch.cuda.synchronize()
        return time.perf_counter()

    return clock


def interleave(
    sides: dict[str, Callable[[], object]],
    *,
    budget_s: float = 1.0,
    least: int = 9,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return seconds per call of every side, one figure per repetition.

    Each side is called twice to warm up and once to choose how often a sample repeats it. Repetitions go on for ``budget_s``
    seconds, but at least ``least`` of them.
    """
    calls = {}
    for name, call in sides.items():
        call()
        call()
        started = clock()
        call()
        calls[name] = max(1, int(np.ceil(SAMPLE_S / max(clock() - started, 1e-9))))
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    collecting = gc.isenabled()
    gc.disable()
    try:
        begun = clock()
        while len(seconds[order[0]]) < least or clock() - begun < budget_s:
            for name in order:
                started = clock()
                for _ in range(calls[name]):
                    sides[name]()
                seconds[name].append((clock() - started) / calls[name])
            order = order[1:] + order[:1] if len(order) > 2 else order[::-1]
            if len(seconds[order[0]]) >= 1000:
                break
    finally:
        if collecting:
            gc.enable()
    # The rotation leaves names in another order, the repetitions stay aligned.
    return {name: seconds[name] for name in sides}


@dataclass(frozen=True)
class Comparison:
    """One side against the best of the others: medians with the interval of the median, and the ratio's."""

    seconds: dict[str, tuple[float, float, float]]  # median, low, high
    best: str
    speedup: float  # best other / side: > 1, the side is faster
    speedup_interval: tuple[float, float]


def compare(seconds: dict[str, list[float]], side: str) -> Comparison:
    """Compare ``side`` with the best of the others, by the ratios within each repetition."""
    summary = {name: (float(np.median(s)), *median_interval(s)) for name, s in seconds.items()}
    best = min((name for name in seconds if name != side), key=lambda name: summary[name][0])
    ratios = np.array(seconds[best]) / np.array(seconds[side])
    return Comparison(summary, best, float(np.median(ratios)), median_interval(ratios))


def median_interval(values: list[float] | np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the distribution-free interval of the median: order statistics by the binomial of n fair coins."""
    from scipy.stats import binom

    ordered = np.sort(values)
    rank = max(int(binom.ppf((1 - level) / 2, len(ordered), 0.5)), 1)
    return float(ordered[rank - 1]), float(ordered[len(ordered) - rank])
