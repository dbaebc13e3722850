"""What every synthetic source offers, and how a number that is only known up to a Monte-Carlo error is stated.

Shapes: W windows, L tokens in a window, V vocabulary.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

SIGMAS = 3.29  # of a normal: 99.9 % two-sided


@dataclass(frozen=True)
class Bounds:
    """A number in nats per token that is known to lie in [lower, upper].

    exact: closed form, lower equals upper up to rounding. Otherwise the ends hold with 99.9 % confidence each: they
    are Monte-Carlo means moved outward by 3.29 standard errors.
    """

    lower: float
    upper: float
    exact: bool
    method: str

    @property
    def middle(self) -> float:
        return (self.lower + self.upper) / 2

    def __contains__(self, value: float) -> bool:
        return self.lower <= value <= self.upper

    @classmethod
    def closed_form(cls, value: float, method: str) -> "Bounds":
        return cls(float(value), float(value), True, method)

    @classmethod
    def between(cls, lower: "Estimate", upper: "Estimate", method: str) -> "Bounds":
        """Make the interval of two estimates; give the same one twice for a plain confidence interval."""
        return cls(lower.mean - SIGMAS * lower.error, upper.mean + SIGMAS * upper.error, False, method)


@dataclass(frozen=True)
class Estimate:
    """A Monte-Carlo mean with its standard error."""

    mean: float
    error: float


def estimate(values: np.ndarray, control: np.ndarray, control_mean: float) -> Estimate:
    """Return the mean of independent ``values`` (n,), its error reduced by a control variate of known mean.

    With the least-squares slope b of values on control, mean(values) - b (mean(control) - control_mean) is the
    estimate and the residuals give its error (Glasserman 2003, section 4.1); its bias is of order 1/n.
    """
    centred = control - control.mean()
    variance = centred @ centred
    slope = centred @ values / variance if variance > 1e-12 * len(values) else 0.0
    residual = values - values.mean() - slope * centred
    error = np.sqrt(residual @ residual / (len(values) - 2) / len(values))
    return Estimate(float(values.mean() - slope * (control.mean() - control_mean)), float(error))


class SyntheticSource(ABC):
    """A stationary process over tokens 0..V-1 whose entropy is known.

    A window is a stretch of the endless process that begins at a position drawn uniformly, independent of all others.
    """

    name: str
    vocab_size: int
    seed: int

    @abstractmethod
    def sample(self, generator: np.random.Generator, count: int, length: int) -> np.ndarray:
        """Return (count, length) int64: independent windows."""

    @abstractmethod
    def entropy_rate(self) -> Bounds:
        """Return lim H(Y_n | Y_1..Y_n-1): what no model can beat, whatever its context."""

    @abstractmethod
    def finite_context_bound(self, seqlen: int) -> Bounds:
        """Return the best mean loss on windows of ``seqlen`` inputs and the ``seqlen`` targets one further on.

        It is the mean over n = 1..seqlen of H(Y_n+1 | Y_1..Y_n), at least the entropy rate: the first targets of a
        window are predicted from few tokens.
        """

    @abstractmethod
    def optimal_losses(self, windows: np.ndarray) -> np.ndarray:
        """Return (W, L-1): the loss of each target under the best predictor that sees its window's earlier tokens."""
