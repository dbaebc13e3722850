"""Compare how fast two sides are: blocks of both in turns, processes started afresh for every round, until each benchmark is decided."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.track.process import Process, Side
from laimbench.track.sequential import Decision, decide

PAIRS = 40  # of blocks of both sides, per round and benchmark
STOCK_BLOCKS = 3  # of the side's own comparison, per round
WORDS = {"more": "slower", "less": "faster", "same": "same", "": "undecided"}


@dataclass
class Timing:
    """How side B's time compares with side A's in one benchmark.

    log_ratios: log(time of B / time of A), one per round. against_stock: per side, time of stock / time of ours in one process, one per
    round; empty where the suite has no stock.
    """

    name: str
    log_ratios: list[float] = field(default_factory=list)
    seconds: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    against_stock: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    decision: Decision = field(default_factory=lambda: decide([], 1.0, 1.0))

    @property
    def verdict(self) -> str:
        return WORDS[self.decision.word]

    @property
    def ratio(self) -> float:
        return math.exp(self.decision.mean)

    def to_dict(self) -> dict[str, Any]:
        bound = lambda x: None if math.isinf(x) else math.exp(x)  # noqa: E731
        median = lambda x: float(np.median(x)) if x else None  # noqa: E731
        return {
            "name": self.name,
            "verdict": self.verdict,
            "time_ratio": None if math.isnan(self.decision.mean) else self.ratio,
            "interval": [bound(end) for end in self.decision.interval],
            "rounds": self.decision.observations,
            "seconds": [median(side) for side in self.seconds],
            "stock_over_ours": [median(side) for side in self.against_stock],
        }


def compare_speed(
    sides: tuple[Side, Side], suite: Path, names: list[str], *, threads: int, matters: float, alpha: float, rounds: int,
    heard: Callable[[list[Timing]], None] = lambda timings: None,
) -> list[Timing]:  # fmt: skip
    """Time the named benchmarks of a suite on both sides until each is decided, at most ``rounds`` times.

    Args:
        matters: the relative slow-down to be told from none, for example 0.02.
        alpha: probability of any wrong word over all benchmarks together; each gets its share (Bonferroni).
        heard: called after every round with the timings so far.

    Raises:
        RunError: a side's package or suite failed.
    """
    timings = [Timing(name) for name in names]
    for number in range(rounds):
        todo = [timing for timing in timings if not timing.decision.word]
        if not todo:
            break
        _round(sides, suite, todo, threads, number)
        for timing in todo:
            timing.decision = decide(timing.log_ratios, math.log1p(matters), alpha / len(names))
        heard(timings)
    return timings


def _round(sides: tuple[Side, Side], suite: Path, todo: list[Timing], threads: int, number: int) -> None:
    """One observation of every benchmark from two fresh processes. Who is started first, and who begins, changes from round to round."""
    first, second = (0, 1) if number % 2 == 0 else (1, 0)
    with Process(sides[first], suite, threads) as one, Process(sides[second], suite, threads) as other:
        one.wait()
        other.wait()
        processes = (one, other) if first == 0 else (other, one)
        for timing in todo:
            counts = [process.ask("prepare", name=timing.name)["calls"] for process in processes]
            calls = counts[0]["ours"]
            times: tuple[list[float], list[float]] = ([], [])
            for pair in range(PAIRS):
                order = (0, 1) if (pair + number) % 2 == 0 else (1, 0)
                for side in order:
                    times[side].append(
                        processes[side].ask("time", name=timing.name, which="ours", calls=calls)["seconds"]
                    )
            ratios = np.log(times[1]) - np.log(times[0])
            timing.log_ratios.append(float(np.median(ratios)))
            for side, process in enumerate(processes):
                timing.seconds[side].append(float(np.median(times[side])))
                if "stock" in counts[side]:
                    timing.against_stock[side].append(_stock_ratio(process, timing.name, counts[side]))


def _stock_ratio(process: Process, name: str, calls: dict[str, int]) -> float:
    """Time of stock over time of ours, in turns within one process."""
    blocks = [
        [process.ask("time", name=name, which=which, calls=calls[which])["seconds"] for which in ("ours", "stock")]
        for _ in range(STOCK_BLOCKS)
    ]
    ours, stock = np.median(blocks, axis=0)
    return float(stock / ours)
