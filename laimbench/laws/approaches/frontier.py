"""What each approach ends in: the compute-optimal frontier N* = k C^a, D* = m C^b with intervals, or why there is none."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import chdtrc, stdtrit

from laimbench.laws.intervals import LEVEL
from laimbench.laws.planning.law import Estimate

NAMES = {1: "envelope", 2: "isoflop", 3: "parametric"}
RATIOS = np.array([[1, 0], [0, 1], [-1, 1]])  # powers of N and D in N*, D* and D*/N*
UNLIKELY = 0.05  # of scatter around the line as large as it is: below, the scatter sets the interval


@dataclass(frozen=True)
class Point:
    """An optimum that was found at one compute; params' and tokens' intervals where the approach gives them."""

    compute: float
    params: Estimate
    tokens: Estimate
    loss: float

    def to_dict(self) -> dict[str, Any]:
        return _plain(self)


@dataclass(frozen=True)
class Refusal:
    """Compute from ``low`` to ``high`` at which no optimum can be read off, how many points that were, and why."""

    low: float
    high: float
    points: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Split:
    """N*, D* and D*/N* at one budget; extrapolation: by what factor it lies outside of the frontier's compute, 1 within."""

    compute: float
    params: Estimate
    tokens: Estimate
    tokens_per_param: Estimate
    extrapolation: float

    def to_dict(self) -> dict[str, Any]:
        return _plain(self)


@dataclass(frozen=True)
class Frontier:
    """The frontier as one approach finds it.

    number: 1, 2 or 3; a, b: exponents of N* and D* in compute; domain: least and largest compute of the points; points: the optima that the
    line goes through (none for the parametric approach); notes: what a reader should know of the intervals; skew: of approach 2, how far in
    log N cubics have their minima from the parabolas' vertices; is_skewed: beyond chance.
    """

    number: int
    a: Estimate
    b: Estimate
    domain: tuple[float, float]
    points: tuple[Point, ...]
    refused: tuple[Refusal, ...]
    notes: tuple[str, ...]
    estimate: Callable[[float], tuple[Estimate, Estimate, Estimate]] = field(repr=False)
    skew: float = 0.0
    is_skewed: bool = False

    @property
    def name(self) -> str:
        return NAMES[self.number]

    def at(self, compute: float) -> Split:
        """Return the split of ``compute`` FLOPs."""
        low, high = self.domain
        outside = max(low / compute, compute / high, 1.0)
        return Split(float(compute), *self.estimate(compute), extrapolation=float(outside))

    def to_dict(self) -> dict[str, Any]:
        return {
            "approach": self.number,
            "name": self.name,
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "domain": list(self.domain),
            "points": [point.to_dict() for point in self.points],
            "refused": [refusal.to_dict() for refusal in self.refused],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Absent:
    """An approach that these data do not allow, and why."""

    number: int
    reason: str
    refused: tuple[Refusal, ...] = ()

    @property
    def name(self) -> str:
        return NAMES[self.number]

    def to_dict(self) -> dict[str, Any]:
        return {"approach": self.number, "name": self.name, "absent": self.reason,
                "refused": [refusal.to_dict() for refusal in self.refused]}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """y = level + slope (x - centre), with standard errors and the quantile by which they make an interval.

    q: scatter around the line relative to what the points' errors explain, squared, per degree of freedom; scattered: whether it is
    beyond chance and sets the interval.
    """

    centre: float
    level: float
    slope: float
    level_error: float
    slope_error: float
    quantile: float
    q: float
    scattered: bool

    @classmethod
    def through(cls, x: np.ndarray, y: np.ndarray, variance: np.ndarray, degrees: int, level: float = LEVEL) -> "Line":
        """Weighted least squares, weights 1 / variance (rows,) that were estimated with ``degrees`` degrees of freedom.

        The points' own errors set the interval. Where the points scatter more than these explain (chi-squared test, 5 %), their scatter
        does, by its few degrees of freedom: the scale factor of Birge 1932, with Student's quantile (Hartung & Knapp 2001).
        """
        weights = 1 / variance
        centre = float((weights * x).sum() / weights.sum())
        moment = float((weights * (x - centre) ** 2).sum())
        mean = float((weights * y).sum() / weights.sum())
        slope = float((weights * (x - centre) * y).sum() / moment)
        left = len(x) - 2
        excess = float((weights * (y - mean - slope * (x - centre)) ** 2).sum())
        q = excess / left if left > 0 else 0.0
        scattered = left > 0 and bool(chdtrc(left, excess) < UNLIKELY)
        scale = np.sqrt(q) if scattered else 1.0
        quantile = float(stdtrit(left if scattered else degrees, (1 + level) / 2))
        return cls(centre, mean, slope, scale / np.sqrt(weights.sum()), scale / np.sqrt(moment), quantile, q, scattered)

    def value(self, x: float, shift: float = 0.0) -> Estimate:
        """Return exp(y) at x; shift: by how much all points may be off together."""
        y = self.level + self.slope * (x - self.centre)
        half = np.hypot(self.quantile * np.hypot(self.level_error, self.slope_error * (x - self.centre)), shift)
        return Estimate(float(np.exp(y)), float(np.exp(y - half)), float(np.exp(y + half)))

    def exponent(self) -> Estimate:
        half = self.quantile * self.slope_error
        return Estimate(self.slope, float(self.slope - half), float(self.slope + half))


def _plain(record: Point | Split) -> dict[str, Any]:
    return {name: value.to_dict() if isinstance(value, Estimate) else value for name, value in vars(record).items()}
