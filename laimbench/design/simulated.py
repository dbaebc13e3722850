"""A lab whose law is known: what a design would have found, without training anything."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from laimbench.design.optimal import Noise
from laimbench.design.quantities import log_loss
from laimbench.design.sequential import Result, Space


@dataclass
class SimulatedLab:
    """Draws losses from a known law with noise; every configuration has an error of its own, which its seeds share."""

    theta: np.ndarray
    space: Space
    noise: Noise
    generator: np.random.Generator

    def __post_init__(self):
        self._law = log_loss(self.theta, *self.space.logs) + self.generator.normal(
            0, self.noise.between, len(self.space.costs)
        )
        self._results: list[Result] = []
        self._spent = 0.0

    def train(self, runs: Sequence[tuple[int, int]]) -> None:
        for run, seed in runs:
            self._results.append(
                Result(run, seed, float(np.exp(self._law[run] + self.generator.normal(0, self.noise.within))))
            )
            self._spent += float(self.space.costs[run])

    def results(self) -> list[Result]:
        return list(self._results)

    def spent(self) -> float:
        return self._spent
