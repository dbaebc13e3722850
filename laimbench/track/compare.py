"""One comparison of two sides: speed, learning and what both are worth, put together."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.track.learning import Learning, compare_learning
from laimbench.track.multiplier import FEWEST_BUDGETS, Multiplier, effective_multiplier
from laimbench.track.process import Process, Side
from laimbench.track.speed import Timing, compare_speed

SUITE = "laimbench_track.py"


@dataclass(frozen=True)
class Settings:
    """How sure and how patient a comparison is.

    alpha: probability of a false word, for speed (all benchmarks together) and for learning each. slowdown: the relative change of time to be
    told from none. spreads: the difference of loss to be told from none, in seed spreads. rounds, seeds: at most so many.
    only: benchmarks to take, of both kinds; empty: all. threads: of each worker.
    """

    alpha: float = 0.01
    slowdown: float = 0.02
    spreads: float = 1.0
    rounds: int = 40
    seeds: int = 12
    quick: bool = False
    only: tuple[str, ...] = ()
    threads: int = 1

    def __post_init__(self):
        for name, low, high in (("alpha", 0, 0.5), ("slowdown", 0, 1), ("spreads", 0, 100)):
            value = getattr(self, name)
            if not low < value < high:
                raise InputError(f"{name} is {value}, expected a number between {low} and {high}")
        for name, low in (("rounds", 1), ("seeds", 1), ("threads", 1)):
            if getattr(self, name) < low:
                raise InputError(f"{name} is {getattr(self, name)}, expected {low} or more")


@dataclass
class Comparison:
    """What was found of B against A. compute, wall_time: the multiplier per learning benchmark, or the reason why there is none."""

    labels: tuple[str, str]
    timings: list[Timing] = field(default_factory=list)
    learnings: list[Learning] = field(default_factory=list)
    compute: dict[str, Multiplier | str] = field(default_factory=dict)
    wall_time: dict[str, Multiplier | str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        shown = lambda found: {k: m if isinstance(m, str) else m.to_dict() for k, m in found.items()}  # noqa: E731
        return {
            "a": self.labels[0],
            "b": self.labels[1],
            "speed": [timing.to_dict() for timing in self.timings],
            "learning": [learning.to_dict() for learning in self.learnings],
            "compute_multiplier": shown(self.compute),
            "wall_time_multiplier": shown(self.wall_time),
        }


class Listener:
    """What a comparison tells while it runs; the default does not listen."""

    def timed(self, timings: list[Timing]) -> None: ...
    def learned(self, learning: Learning) -> None: ...


def compare(a: Side, b: Side, suite: Path, settings: Settings, listener: Listener | None = None) -> Comparison:
    """Compare two builds by a suite.

    Raises:
        InputError: no such suite or benchmark. RunError: a side failed.
    """
    listener = listener or Listener()
    contents = list_suite(a, suite, settings)
    speed, learn = (_chosen(contents[kind], settings.only) for kind in ("speed", "learn"))
    if not speed and not learn:
        known = ", ".join((*contents["speed"], *contents["learn"])) or "nothing: it has no speed_ or learn_ function"
        raise InputError(f"{suite}: no benchmark named {', '.join(settings.only) or 'anything'}; it has {known}")
    sides = (a, b)
    found = Comparison((a.label, b.label))
    if speed:
        found.timings = compare_speed(sides, suite, speed, threads=settings.threads, matters=settings.slowdown,
                                      alpha=settings.alpha, rounds=settings.rounds, heard=listener.timed)  # fmt: skip
    sizes = contents["quick_sizes" if settings.quick else "sizes"]
    for name in learn:
        learning = compare_learning(sides, suite, name, sizes, threads=settings.threads, spreads=settings.spreads,
                                    alpha=settings.alpha / len(learn), seeds=settings.seeds, heard=listener.learned)  # fmt: skip
        found.learnings.append(learning)
        found.compute[name] = worth(learning, "flops")
        found.wall_time[name] = worth(learning, "seconds")
    return found


def list_suite(side: Side, suite: Path, settings: Settings) -> dict[str, list]:
    """Return what a suite holds: names under "speed" and "learn", and its "sizes" and "quick_sizes"."""
    if not suite.is_file():
        raise InputError(f"{suite}: no such file, expected a suite; `laimbench init-tracking` writes one")
    with Process(side, suite, settings.threads) as process:
        return process.ask("list")


def worth(learning: Learning, of: str) -> Multiplier | str:
    """Return the effective multiplier over the ladder in "flops" or "seconds", or why there is none."""
    finals = [(pair, side, pair.final(side)) for pair in learning.pairs for side in (0, 1)]
    if any(final.get(of) is None for *_, final in finals):
        return f"the suite sends no {of}"
    columns = (
        np.array([final[of] for *_, final in finals]),
        np.array([final["loss"] for *_, final in finals]),
        np.array([side for _, side, _ in finals]),
        np.array([pair.seed for pair, *_ in finals]),
    )
    # Seconds of one size differ from run to run, so that it is the sizes that tell how many budgets there are.
    irreducible = len({pair.size for pair in learning.pairs}) >= FEWEST_BUDGETS
    try:
        return effective_multiplier(*columns, irreducible=irreducible)
    except ValueError as error:
        return str(error)


def _chosen(names: list[str], only: tuple[str, ...]) -> list[str]:
    return [name for name in names if not only or name in only]
