"""Compare how fast two sides are: blocks of both in turns, processes started afresh for every round, until each benchmark is decided."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.cores import usable_cores
from laimbench.track.process import Process, Side, relocate_code
from laimbench.track.sequential import Decision, decide

PREPARATIONS = 4  # of a benchmark in a round: its data lie elsewhere each time, which alone moved a norm's time by 3 %
QUADS = 12  # per preparation: blocks of A, B, B, A or B, A, A, B
STOCK_BLOCKS = 5  # of the side's own comparison, per round
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
    for side in sides:
        relocate_code(side)
    with Process(sides[first], suite, threads) as one, Process(sides[second], suite, threads) as other:
        one.wait()
        other.wait()
        processes = (one, other) if first == 0 else (other, one)
        for timing in todo:
            times, counts = _observe(processes, timing.name, threads, number)
            ratios = np.diff(np.log(times).mean(axis=2), axis=1)
            timing.log_ratios.append(interquartile_mean(ratios[:, 0]))
            for side, process in enumerate(processes):
                timing.seconds[side].append(float(np.median(times[:, side])))
                if "stock" in counts[side]:
                    timing.against_stock[side].append(_stock_ratio(process, timing.name, counts[side]))


def _observe(
    processes: tuple[Process, Process], name: str, threads: int, number: int
) -> tuple[np.ndarray, list[dict[str, int]]]:
    """Return seconds per call (quads, side, block of the side) and each side's numbers of calls."""
    quads = []
    for turn in range(number, number + PREPARATIONS):
        counts = _prepared(processes, name, turn)
        for half in (0, 1):
            if threads == 1:
                _share_a_core(processes, turn + half)
            # Who begins stays for some quads: a block is slower after one of the other side, and A B B A B A A B has two such of A, one of B.
            begins = (turn // 2 + half) % 2
            quads += [_quad(processes, name, counts[0]["ours"], begins) for _ in range(QUADS // 2)]
    return np.array(quads), counts


def _quad(processes: tuple[Process, Process], name: str, calls: int, begins: int) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    for side in (begins, 1 - begins, 1 - begins, begins):
        times[side].append(processes[side].ask("time", name=name, which="ours", calls=calls)["seconds"])
    return times


def _prepared(processes: tuple[Process, Process], name: str, turn: int) -> list[dict[str, int]]:
    """Have both prepare a benchmark, one after the other, the other first the next time; return how many calls fill a block."""
    order = (0, 1) if turn % 2 == 0 else (1, 0)
    counts = {side: processes[side].ask("prepare", name=name)["calls"] for side in order}
    return [counts[0], counts[1]]


def _share_a_core(processes: tuple[Process, Process], number: int) -> None:
    """Put both on the same core, another one the next time: cores of a shared machine are not equally fast."""
    cores = usable_cores()
    for process in processes:
        process.pin(cores[number % len(cores)])


def interquartile_mean(values: list[float] | np.ndarray) -> float:
    """Return the mean of the middle half: as deaf to outliers as the median, with less scatter where there are none."""
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())


def _stock_ratio(process: Process, name: str, calls: dict[str, int]) -> float:
    """Time of stock over time of ours, in turns within one process."""
    blocks = [
        [process.ask("time", name=name, which=which, calls=calls[which])["seconds"] for which in ("ours", "stock")]
        for _ in range(STOCK_BLOCKS)
    ]
    ours, stock = np.median(blocks, axis=0)
    return float(stock / ours)
