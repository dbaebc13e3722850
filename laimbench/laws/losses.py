"""How a residual counts: losses with slope, curvature and a scale that can be widened on the way to an optimum."""

from dataclasses import dataclass, replace

import numpy as np

from laimbench.errors import InputError


@dataclass(frozen=True)
class Huber:
    """r^2 / 2 within delta, delta (|r| - delta / 2) beyond. Source: Huber 1964; delta = 1e-3 in Hoffmann et al. 2022."""

    delta: float = 1e-3

    def value(self, r: np.ndarray) -> np.ndarray:
        clipped = np.clip(r, -self.delta, self.delta)
        return clipped * (r - 0.5 * clipped)

    def slope(self, r: np.ndarray) -> np.ndarray:
        return np.clip(r, -self.delta, self.delta)

    def curvature(self, r: np.ndarray) -> np.ndarray:
        return (np.abs(r) <= self.delta).astype(float)

    def at(self, factor: float) -> "Huber":
        """Return the loss with its scale widened."""
        return replace(self, delta=self.delta * factor)


@dataclass(frozen=True)
class Cauchy:
    """(delta^2 / 2) log(1 + (r / delta)^2): outliers lose their pull altogether. Not convex. Source: Barnett & Lewis 1994."""

    delta: float = 1e-2

    def value(self, r: np.ndarray) -> np.ndarray:
        return 0.5 * self.delta**2 * np.log1p((r / self.delta) ** 2)

    def slope(self, r: np.ndarray) -> np.ndarray:
        return r / (1 + (r / self.delta) ** 2)

    def curvature(self, r: np.ndarray) -> np.ndarray:
        square = (r / self.delta) ** 2
        return (1 - square) / (1 + square) ** 2

    def at(self, factor: float) -> "Cauchy":
        """Return the loss with its scale widened."""
        return replace(self, delta=self.delta * factor)


@dataclass(frozen=True)
class Squared:
    """r^2 / 2: the most likely law under normal errors, and the most easily misled by an outlier."""

    delta: float = np.inf

    def value(self, r: np.ndarray) -> np.ndarray:
        return 0.5 * r * r

    def slope(self, r: np.ndarray) -> np.ndarray:
        return r

    def curvature(self, r: np.ndarray) -> np.ndarray:
        return np.ones_like(r)

    def at(self, factor: float) -> "Squared":
        """Return itself: it has no scale."""
        return self


Loss = Huber | Cauchy | Squared
LOSSES = {"huber": Huber, "cauchy": Cauchy, "squared": Squared}


def make_loss(name: str, delta: float | None = None) -> Loss:
    """Return the loss of this name, at its usual delta unless one is given.

    Raises:
        InputError: unknown name, or a delta that is not positive.
    """
    if name not in LOSSES:
        raise InputError(f"loss function is {name!r}, expected one of {', '.join(LOSSES)}")
    if delta is None or name == "squared":
        return LOSSES[name]()
    if not delta > 0:
        raise InputError(f"delta is {delta}, expected a positive number")
    return LOSSES[name](delta)
