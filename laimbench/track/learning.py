"""Compare how two sides learn: the same ladder with the same seeds on both, seed by seed, until it is decided."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.cores import usable_cores
from laimbench.errors import RunError
from laimbench.track.numbers import TOLERANCE, Difference, first_difference
from laimbench.track.process import Process, Side
from laimbench.track.sequential import FEWEST, Decision, decide

WORDS = {"more": "worse", "less": "better", "same": "same", "": "undecided"}


@dataclass(frozen=True)
class Pair:
    """One size and seed trained on both sides; points as the suite sent them, side A's first."""

    size: int
    seed: int
    points: tuple[list[dict], list[dict]]

    def final(self, side: int) -> dict[str, float]:
        """The last point that has a loss: "flops", "loss" and "seconds"."""
        return [point for point in self.points[side] if "loss" in point][-1]

    @property
    def loss_difference(self) -> float:
        return self.final(1)["loss"] - self.final(0)["loss"]


@dataclass
class Learning:
    """How side B's training compares with side A's.

    spread: standard deviation of a seed's mean final loss, pooled over sizes and sides, nats. difference: the first number that differs
    by more than rounding. decision: of loss of B less loss of A, mean over sizes, one observation per seed.
    """

    name: str
    pairs: list[Pair] = field(default_factory=list)
    spread: float = math.nan
    difference: Difference | None = None
    decision: Decision = field(default_factory=lambda: decide([], 1.0, 1.0))

    @property
    def identical(self) -> bool:
        """Whether all losses of all pairs are the same bit for bit."""
        curve = lambda points: [(p.get("loss"), p.get("numbers")) for p in points]  # noqa: E731
        return bool(self.pairs) and all(curve(pair.points[0]) == curve(pair.points[1]) for pair in self.pairs)

    @property
    def verdict(self) -> str:
        return WORDS[self.decision.word]

    def to_dict(self) -> dict[str, Any]:
        finals = [
            {"size": p.size, "seed": p.seed} | {k: [p.final(0).get(k), p.final(1).get(k)] for k in ("flops", "loss", "seconds")}
            for p in self.pairs
        ]  # fmt: skip
        number = lambda x: x if math.isfinite(x) else None  # noqa: E731
        return {
            "name": self.name,
            "verdict": self.verdict,
            "identical": self.identical,
            "first_difference": self.difference and self.difference.to_dict(),
            "loss_difference": number(self.decision.mean),
            "interval": [number(end) for end in self.decision.interval],
            "seed_spread": number(self.spread),
            "seeds": self.decision.observations,
            "runs": finals,
        }


def compare_learning(
    sides: tuple[Side, Side], suite: Path, name: str, sizes: list[int], *, threads: int, spreads: float, alpha: float, seeds: int,
    tolerance: float = TOLERANCE, heard: Callable[[Learning], None] = lambda learning: None,
) -> Learning:  # fmt: skip
    """Train the suite's ladder on both sides with seeds 0, 1, … until it is decided whether they learn the same.

    Args:
        spreads: the difference to be told from none, in standard deviations over seeds, for example 1.
        alpha: probability of a wrong word. seeds: at most so many.
        tolerance: relative difference of a training's numbers that rounding may cause.

    Raises:
        RunError: a side's package or suite failed, or its training sends no loss.
    """
    learning = Learning(name)
    for seed in range(seeds):
        new = [Pair(size, seed, points) for size, points in _train(sides, suite, name, sizes, seed, threads)]
        learning.pairs += new
        if learning.difference is None:
            found = (first_difference(*pair.points, tolerance) for pair in new)
            learning.difference = next((one for one in found if one is not None), None)
        judge(learning, spreads, alpha)
        heard(learning)
        # Equal bits twice are no chance: the same computation goes on the same.
        if learning.decision.word or (learning.identical and seed >= 1):
            break
    return learning


def judge(learning: Learning, spreads: float, alpha: float) -> None:
    """Decide by the pairs there are; the seed spread is that of the same pairs."""
    seeds = sorted({pair.seed for pair in learning.pairs})
    differences = [float(np.mean([p.loss_difference for p in learning.pairs if p.seed == seed])) for seed in seeds]
    learning.spread = seed_spread(learning.pairs)
    if learning.identical and len(seeds) >= 2:
        learning.decision = Decision("same", 0.0, (0.0, 0.0), len(seeds))
    elif len(seeds) < FEWEST or not learning.spread > 0:
        learning.decision = Decision("", float(np.mean(differences)), (-math.inf, math.inf), len(seeds))
    else:
        learning.decision = decide(differences, spreads * learning.spread, alpha)


def seed_spread(pairs: list[Pair]) -> float:
    """Return the standard deviation over seeds of the loss averaged over sizes, as the mean over the two sides' variances."""
    seeds = sorted({pair.seed for pair in pairs})
    if len(seeds) < 2:
        return math.nan
    means = [[np.mean([p.final(side)["loss"] for p in pairs if p.seed == seed]) for seed in seeds] for side in (0, 1)]
    return float(np.sqrt(np.mean(np.var(means, axis=1, ddof=1))))


def _train(sides: tuple[Side, Side], suite: Path, name: str, sizes: list[int], seed: int, threads: int):
    """Train all sizes with one seed; both sides at the same time where there are cores for both, so that load hits both alike."""
    together = len(usable_cores()) >= 2 * threads
    with Process(sides[0], suite, threads) as a, Process(sides[1], suite, threads) as b:
        a.wait()
        b.wait()
        for size in sizes:
            order = (a, b) if seed % 2 == 0 else (b, a)
            answers = {}
            if together:
                for process in order:
                    process.send("learn", name=name, size=size, seed=seed)
                answers = {process: process.receive() for process in order}
            else:
                answers = {process: process.stream("learn", name=name, size=size, seed=seed) for process in order}
            points = tuple([message["point"] for message in answers[process]] for process in (a, b))
            for side, sent in zip(sides, points, strict=True):
                _check(side, name, sent)
            yield size, points


def _check(side: Side, name: str, points: list[dict]) -> None:
    losses = [point["loss"] for point in points if "loss" in point]
    if not losses or not all(isinstance(loss, (int, float)) and math.isfinite(loss) for loss in losses):
        raise RunError(f"{side.label}: learn_{name} sent {'a loss that is not finite' if losses else 'no loss'}")
