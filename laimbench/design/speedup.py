"""The speed-up as a quantity to design for: how many times faster side B reaches the same loss, at a compute.

A pair is one configuration and seed trained on both sides. If B's loss at D tokens is A's at m D, the log ratio of the losses is s log m,
with s = d log L / d log D of the law; log m is a straight line in log compute, and what is asked for is its value at one compute plus the
log of how much faster the steps are. Errors that a configuration has on both sides cancel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from laimbench.design.optimal import Noise
from laimbench.design.quantities import log_loss_gradient

if TYPE_CHECKING:
    from laimbench.design.sequential import Result

PAIRED_BETWEEN = 0.5  # of the noise among seeds: by how much the sides of a configuration may differ for all its seeds


@dataclass(frozen=True)
class Speedup:
    """At ``compute`` FLOPs, C = 6 N D."""

    compute: float
    name = "speedup"
    logarithmic = True
    size = 2
    fewest = size + 1

    @property
    def meaning(self) -> str:
        return f"speed-up at {self.compute:.3g} FLOPs"

    def gradient(self, laws: np.ndarray) -> np.ndarray:
        return np.tile([1.0, 0.0], (len(laws), 1))

    def observed(self, laws: np.ndarray, log_n: np.ndarray, log_d: np.ndarray) -> np.ndarray:
        """Return the gradient (K, R, 2) of a pair's log ratio by the line's value at ``compute`` and its slope."""
        slope = slope_in_tokens(laws, log_n, log_d)
        return np.stack([slope, slope * self.distance(log_n, log_d)], axis=-1)

    def distance(self, log_n: np.ndarray, log_d: np.ndarray) -> np.ndarray:
        """Return the log of a run's compute over the one asked for."""
        return np.log(6 / self.compute) + log_n + log_d

    @staticmethod
    def noise(of_loss: Noise) -> Noise:
        """Return the noise of a pair's log ratio: two runs that share seed and batches, correlated by half."""
        return Noise(of_loss.within, PAIRED_BETWEEN * of_loss.within)

    def natural(self, value: float) -> float:
        return float(np.exp(value))

    def half_width(self, low: float, high: float) -> float:
        return float(np.log(high) - np.log(low)) / 2

    def estimate(
        self, law: np.ndarray, logs: tuple[np.ndarray, np.ndarray], pairs: "Sequence[Result]", level: float
    ) -> tuple[float, float, float]:
        """Return the log of the speed-up and its interval, by weighted least squares and Student's quantile over configurations; NaN with
        fewer than three.
        """
        index = np.array([pair.candidate for pair in pairs], int)
        cells, cell = np.unique(index, return_inverse=True)
        if len(cells) < self.fewest:
            return (np.nan,) * 3
        counts = np.bincount(cell)
        log_n, log_d = (column[cells] for column in logs)
        slope = slope_in_tokens(law[None], log_n, log_d)[0]
        ratio = np.bincount(cell, [pair.log_ratio for pair in pairs]) / counts
        faster = np.bincount(cell, [pair.log_faster for pair in pairs]) / counts
        # log m + log of how much faster, each seen through the slope: what is regressed has the noise of log losses.
        design = np.stack([slope, slope * self.distance(log_n, log_d)], axis=1) * np.sqrt(counts)[:, None]
        seen = (ratio + slope * faster) * np.sqrt(counts)
        inverse = np.linalg.inv(design.T @ design)
        line = inverse @ design.T @ seen
        degrees = len(cells) - self.size
        variance = ((seen - design @ line) ** 2).sum() / degrees * inverse[0, 0]
        half = float(stdtrit(degrees, (1 + level) / 2) * np.sqrt(variance))
        return float(line[0]), float(line[0]) - half, float(line[0]) + half


def slope_in_tokens(laws: np.ndarray, log_n: np.ndarray, log_d: np.ndarray) -> np.ndarray:
    """Return d log L / d log D, (K, R), of laws (K, 5)."""
    return -laws[:, None, 4] * log_loss_gradient(laws, log_n, log_d)[..., 3]
