"""Approach 2: isoFLOP parabolas.

At each budget C the log loss is a parabola of log N (Hoffmann et al. 2022, arXiv:2203.15556, section 3.2), y = c_0 + c_1 x + c_2 x^2, by
least squares; its vertex x* = -c_1 / (2 c_2) is log N_opt(C), and lines through the vertices over log C give the exponents.

A vertex is a ratio of two estimates that are jointly normal: Fieller's interval (Fieller 1954) is exact for it where the bootstrap of five
rows is not. With c the two coefficients' covariance, it holds the x for which (c_1 + 2 c_2 x)^2 <= t^2 Var(c_1 + 2 c_2 x), which is an
interval exactly when the curvature c_2 differs from 0 by more than its error; where it is none, the budget is refused as flat. The noise is
pooled over budgets, as a parabola through four or five rows says next to nothing of its own; where budgets differ in noise beyond chance
(Bartlett 1937, 1 %), each with rows enough has its own, so that one bad budget does not drown the others.

Only near the optimum is the valley a parabola: far sizes pull the vertex, by the same factor at all budgets if their grids are alike. The
exponents bear that, N* does not. So a cubic term, one for all budgets, is tried, and the distance between the cubics' minima and the vertices,
times SKEW, widens the intervals of N* and D*. ``within`` leaves far sizes out.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, stdtrit

from laimbench.errors import InputError
from laimbench.laws.approaches.frontier import Absent, Estimate, Frontier, Line, Point, Refusal
from laimbench.laws.approaches.rows import SAME_SIZE, Rows, groups
from laimbench.laws.intervals import LEVEL

LEAST_SIZES = 4  # a parabola goes through any three
GAP = 0.03  # in log FLOPs: rows closer than this have one budget
WIDEST = 0.1  # of one budget in log FLOPs: a tenth more compute lowers the loss by about as much as runs scatter
LEAST_DEGREES = 3  # of the noise, pooled or a budget's own
SKEW = 1.5  # a cubic finds the vertex's bias to a hundredth where sizes lie within a factor 4, the terms beyond to a few where within 30
UNLIKELY = 0.01  # of budgets as unlike in noise as these, below which each has its own


@dataclass(frozen=True)
class Parabola:
    """y = c_0 + c_1 u + c_2 u^2 with u = log N - centre; cross (3, 3): inverse of the design's products; rss: residual sum of squares."""

    compute: float
    rows: np.ndarray
    centre: float
    ends: tuple[float, float]
    coefficients: np.ndarray
    cross: np.ndarray
    rss: float

    @property
    def degrees(self) -> int:
        return len(self.rows) - 3

    @property
    def vertex(self) -> float:
        """Log N of the vertex."""
        return self.centre - self.coefficients[1] / (2 * self.coefficients[2])

    @property
    def least(self) -> float:
        """The parabola's value at its vertex."""
        return float(self.coefficients[0] - self.coefficients[1] ** 2 / (4 * self.coefficients[2]))

    def variance(self, noise: "Noise") -> float:
        """Return the vertex's variance by the delta method."""
        c = self.coefficients
        gradient = np.array([0.0, -1 / (2 * c[2]), c[1] / (2 * c[2] ** 2)])
        return float(noise.variance * gradient @ self.cross @ gradient)

    def fieller(self, noise: "Noise", level: float) -> tuple[float, float] | None:
        """Return Fieller's interval of the vertex in log N, None where it is unbounded."""
        (_, c1, c2), v = self.coefficients, noise.variance * self.cross
        t = stdtrit(noise.degrees, (1 + level) / 2) ** 2
        # (c1 + 2 c2 u)^2 - t (v11 + 4 v12 u + 4 v22 u^2) <= 0
        a, half_b, c = 4 * (c2**2 - t * v[2, 2]), 2 * (c1 * c2 - t * v[1, 2]), c1**2 - t * v[1, 1]
        if a <= 0:
            return None
        root = np.sqrt(max(half_b**2 - a * c, 0.0))
        return float(self.centre + (-half_b - root) / a), float(self.centre + (-half_b + root) / a)


@dataclass(frozen=True)
class Noise:
    """Variance of one run's y around the parabola, and the degrees of freedom that it was estimated with."""

    variance: float
    degrees: int


def fit_isoflop(
    rows: Rows, *, log_loss: bool = True, within: float | None = None, level: float = LEVEL
) -> Frontier | Absent:
    """Return the frontier by parabolas.

    Args:
        rows: runs' ends; by column budget where there is one, else by their FLOPs where these form groups.
        log_loss: parabolas in log loss; False for the loss itself.
        within: only sizes within this factor of the vertex, found from all sizes first; None for all.

    Raises:
        InputError: ``within`` of 1 or less.
    """
    if within is not None and not within > 1:
        raise InputError(f"within is {within}, expected a factor above 1")
    rows = rows.ends
    budgets, refused = _budgets(rows)
    y = np.log(rows["loss"]) if log_loss else rows["loss"]
    fitted = [_parabola(rows, y, chosen, refused, float(np.median(rows["flops"][chosen]))) for chosen in budgets]
    if within is not None:
        fitted = [
            parabola and _parabola(rows, y, _near(rows, parabola, within), refused, parabola.compute)
            for parabola in fitted
        ]
    parabolas = [parabola for parabola in fitted if parabola]
    degrees = sum(p.degrees for p in parabolas)
    if degrees < LEAST_DEGREES:
        found = f"{len(parabolas)} budgets with {LEAST_SIZES} sizes, {degrees} rows more than the parabolas' three each"
        return Absent(2, f"{found}, expected {LEAST_DEGREES} more at least: noise is not known", _sorted(refused))
    noises, alike = _noises(parabolas)
    kept = [(p, noise) for p, noise in zip(parabolas, noises, strict=True) if _accept(p, noise, level, refused)]
    if len(kept) < 2:
        return Absent(2, f"{len(kept)} budgets with a vertex, expected two at least", _sorted(refused))
    typical = np.sqrt(np.median([noise.variance for noise in noises]))
    notes = [f"noise of one run {typical:.2%} of its loss" if log_loss else f"noise of one run {typical:.3g} nats"]
    skew, stands_out = _skew(rows, y, [p for p, _ in kept])
    if stands_out:
        notes.append(
            f"the valleys are no parabolas: N* and D* may be off by what cubics differ, {np.exp(skew):.3f} times"
        )
    pooled = "noise pooled over budgets" if alike else "budgets differ in noise, each has its own"
    notes.append(f"vertices: Fieller's intervals, {pooled}")
    return _frontier(rows, kept, notes, (skew, stands_out), log_loss, _sorted(refused), level)


def _skew(rows: Rows, y: np.ndarray, parabolas: list[Parabola]) -> tuple[float, bool]:
    """Return by how much the minima of cubics lie above the parabolas' vertices in log N, the median, and whether the cubic is beyond chance.

    y = c_0 + c_1 u + c_2 u^2 per budget + c_3 u^3 with one c_3 and u = log N - vertex: what c_3 adds is what a parabola leaves of u^3.
    """
    bases, left, projections = [], [], []
    for p in parabolas:
        u = np.log(rows["params"][p.rows]) - p.vertex
        design = np.stack([np.ones_like(u), u, u**2], axis=1)
        solve = np.linalg.pinv(design)
        projections.append(solve @ u**3)
        bases.append(u**3 - design @ projections[-1])
        left.append(y[p.rows] - design @ (solve @ y[p.rows]))
    basis, residual = np.concatenate(bases), np.concatenate(left)
    degrees, moment = len(basis) - 3 * len(parabolas) - 1, float(basis @ basis)
    if degrees < LEAST_DEGREES or moment == 0:
        return 0.0, False
    cubic = float(basis @ residual) / moment
    error = np.sqrt(((residual - cubic * basis) ** 2).sum() / degrees / moment)
    stands_out = bool(abs(cubic) > stdtrit(degrees, 1 - UNLIKELY / 2) * error)
    shifts = []
    for p, of_cube in zip(parabolas, projections, strict=True):
        # around the vertex: slope -cubic of_cube[1], curvature 2 (c_2 - cubic of_cube[2]), third derivative 6 cubic
        slope, bend = -cubic * of_cube[1], 2 * (p.coefficients[2] - cubic * of_cube[2])
        root = bend**2 - 12 * cubic * slope
        shifts.append((-bend + np.sqrt(root)) / (6 * cubic) if root > 0 and bend > 0 and cubic else np.nan)
    shifts = [shift for shift in shifts if np.isfinite(shift)]
    return (float(np.median(shifts)), stands_out) if shifts else (0.0, False)


def _noises(parabolas: list[Parabola]) -> tuple[list[Noise], bool]:
    """Return each budget's noise, and whether budgets are alike in it: then it is pooled."""
    degrees, rss = np.array([p.degrees for p in parabolas]), np.array([p.rss for p in parabolas])
    pooled = Noise(float(rss.sum() / degrees.sum()), int(degrees.sum()))
    many = degrees >= LEAST_DEGREES
    if many.sum() < 2 or pooled.variance == 0:
        return [pooled] * len(parabolas), True
    k, total = degrees[many], degrees[many].sum()
    own = np.maximum(rss[many] / k, 1e-12 * pooled.variance)
    statistic = total * np.log((k * own).sum() / total) - (k * np.log(own)).sum()
    statistic /= 1 + ((1 / k).sum() - 1 / total) / (3 * (len(k) - 1))
    if chdtrc(len(k) - 1, statistic) >= UNLIKELY:
        return [pooled] * len(parabolas), True
    return [Noise(p.rss / p.degrees, p.degrees) if m else pooled for p, m in zip(parabolas, many, strict=True)], False


def _frontier(rows: Rows, kept: list[tuple[Parabola, Noise]], notes, skew, log_loss: bool, refused, level) -> Frontier:
    x = np.log([p.compute for p, _ in kept])
    vertices, variance = np.array([p.vertex for p, _ in kept]), np.array([p.variance(noise) for p, noise in kept])
    tokens, slopes = np.transpose([_tokens_at(rows, p) for p, _ in kept])
    mean = float(slopes.mean())
    degrees = max(noise.degrees for _, noise in kept)
    floor = 1e-12 + 1e-6 * variance.max()  # noiseless rows have weights too, none infinitely more than another
    lines = [
        Line.through(x, y, slope**2 * variance + floor, degrees, level)
        for y, slope in ((vertices, np.ones_like(slopes)), (tokens, slopes), (tokens - vertices, slopes - 1))
    ]
    if lines[0].scattered:
        notes = [
            *notes,
            f"the vertices scatter {np.sqrt(lines[0].q):.2g} times as much around a line as their errors explain: "
            "the scatter sets the intervals of a, b, N* and D*",
        ]
    points = []
    for (p, noise), log_d, slope in zip(kept, tokens, slopes, strict=True):
        low, high = p.fieller(noise, level)
        ends = sorted((log_d + slope * (low - p.vertex), log_d + slope * (high - p.vertex)))
        least = float(np.exp(p.least)) if log_loss else p.least
        points.append(Point(p.compute, _estimate(p.vertex, low, high), _estimate(log_d, *ends), least))
    return Frontier(
        number=2,
        a=lines[0].exponent(),
        b=lines[1].exponent(),
        domain=(float(np.exp(x.min())), float(np.exp(x.max()))),
        points=tuple(points),
        refused=refused,
        notes=tuple(notes),
        skew=skew[0],
        is_skewed=skew[1],
        estimate=lambda compute: tuple(
            line.value(np.log(compute), shift)
            for line, shift in zip(lines, SKEW * skew[0] * np.array([1.0, mean, mean - 1.0]), strict=True)
        ),
    )


def _estimate(*logs: float) -> Estimate:
    return Estimate(*(float(np.exp(log)) for log in logs))


def _budgets(rows: Rows) -> tuple[list[np.ndarray], list[Refusal]]:
    """Return the rows of each budget, in ascending order, and what is no budget."""
    log_c = np.log(rows["flops"])
    log_b = np.log(np.asarray(rows["budget"], dtype=float)) if "budget" in rows else log_c
    label = groups(log_b, GAP if "budget" not in rows else 1e-6)
    found, refused = [], []
    for i in range(label.max() + 1 if len(label) else 0):
        chosen = np.flatnonzero(label == i)
        width = np.ptp(log_c[chosen])
        if width > WIDEST:
            low, high = np.exp(log_c[chosen].min()), np.exp(log_c[chosen].max())
            reason = f"the rows' FLOPs differ by a factor {np.exp(width):.3g}: no one budget"
            refused.append(Refusal(float(low), float(high), len(chosen), reason))
        else:
            found.append(chosen)
    return found, refused


def _parabola(rows: Rows, y: np.ndarray, chosen: np.ndarray, refused: list[Refusal], compute: float) -> Parabola | None:
    sizes = len(np.unique(groups(np.log(rows["params"][chosen]), SAME_SIZE)))
    if sizes < LEAST_SIZES:
        reason = f"fewer than {LEAST_SIZES} sizes: a parabola goes through any three"
        refused.append(Refusal(compute, compute, len(chosen), reason))
        return None
    log_n = np.log(rows["params"][chosen])
    centre = float(log_n.mean())
    u = log_n - centre
    design = np.stack([np.ones_like(u), u, u**2], axis=1)
    cross = np.linalg.inv(design.T @ design)
    coefficients = np.linalg.lstsq(design, y[chosen], rcond=None)[0]
    rss = float(((design @ coefficients - y[chosen]) ** 2).sum())
    return Parabola(compute, chosen, centre, (log_n.min(), log_n.max()), coefficients, cross, rss)


def _near(rows: Rows, parabola: Parabola, within: float) -> np.ndarray:
    if parabola.coefficients[2] <= 0:
        return parabola.rows
    log_n = np.log(rows["params"][parabola.rows])
    return parabola.rows[np.abs(log_n - parabola.vertex) <= np.log(within)]


def _accept(p: Parabola, noise: Noise, level: float, refused: list[Refusal]) -> bool:
    """Say whether the parabola has a vertex that counts, else why not."""
    low, high = np.exp(p.ends)
    if p.coefficients[2] <= 0:
        reason = "the losses do not curve upwards in log N: no minimum"
    elif p.fieller(noise, level) is None:
        reason = "the curvature does not stand out of the noise: too flat for a vertex"
    elif not p.ends[0] <= p.vertex <= p.ends[1]:
        reason = (
            f"the vertex, {np.exp(p.vertex):.3g} parameters, is outside of the runs' {low:.3g} to {high:.3g}: an edge"
        )
    else:
        return True
    refused.append(Refusal(p.compute, p.compute, len(p.rows), reason))
    return False


def _tokens_at(rows: Rows, p: Parabola) -> tuple[float, float]:
    """Return log D at the vertex and its slope in log N there: a line through the budget's own rows, exact for C = k N^g D."""
    u = np.log(rows["params"][p.rows]) - p.vertex
    slope, log_d = np.polyfit(u, np.log(rows["tokens"][p.rows]), 1)
    return float(log_d), float(slope)


def _sorted(refused: list[Refusal]) -> tuple[Refusal, ...]:
    """Return them in ascending order of compute, neighbours of one reason as one."""
    found: list[Refusal] = []
    for refusal in sorted(refused, key=lambda one: one.low):
        if found and found[-1].reason == refusal.reason:
            last = found.pop()
            refusal = Refusal(last.low, max(last.high, refusal.high), last.points + refusal.points, refusal.reason)
        found.append(refusal)
    return tuple(found)
