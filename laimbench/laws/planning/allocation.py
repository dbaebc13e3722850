"""From a law and a compute budget to the optimal parameters N* and tokens D*, and from a loss back to compute.

For L = E + A / N^alpha + B / D^beta and C = 6 N D the optimum is in closed form; with c = C / 6,

    N* = G c^(beta / (alpha + beta)),   D* = c^(alpha / (alpha + beta)) / G,   G = (alpha A / (beta B))^(1 / (alpha + beta)),
    L* = E + (A G^-alpha + B G^beta) c^(-alpha beta / (alpha + beta)).

Source: Hoffmann et al. 2022 (arXiv:2203.15556), eq. 4. Any other law in N and D, and any other count of FLOPs, goes by search.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from laimbench.errors import InputError
from laimbench.laws.planning.law import LEVEL, Estimate, Law

Flops = Callable[[Any, Any], Any]  # (params, tokens) -> FLOPs: grows with params, a straight line in tokens

GRID = 400  # sizes looked at before the optimum is narrowed down
TOKENS_UNIT = 1e12  # far above 1, so that a fixed part of the FLOPs does not swallow the slope
DRAWS_GRID = 100  # of that, under every draw, and again around its optima
COMPUTE_GRID = 40
ENDLESS = 1e300  # parameters or tokens: what is left of the loss is its floor
COMPUTE_RANGE = (1e3, 1e60)  # FLOPs; what is not reached within is called unreachable


def six_nd(params: Any, tokens: Any) -> Any:
    """Return C = 6 N D, the training FLOPs of Hoffmann et al. 2022; Kaplan et al. 2020 where N leaves embeddings out."""
    return 6.0 * params * tokens


def tokens_for(params: Any, compute: Any, flops: Flops = six_nd) -> Any:
    """Return the tokens on which a model of this size spends the compute (negative where it cannot even start)."""
    fixed = flops(params, 0.0)
    return (compute - fixed) * TOKENS_UNIT / (flops(params, TOKENS_UNIT) - fixed)


@dataclass(frozen=True)
class Allocation:
    """The best split of a budget: parameters, tokens, tokens per parameter, loss in nats; params ~ C^a, tokens ~ C^b there."""

    compute: float
    params: Estimate
    tokens: Estimate
    tokens_per_param: Estimate
    loss: Estimate
    a: Estimate
    b: Estimate
    method: str

    def to_dict(self) -> dict[str, Any]:
        return {k: v.to_dict() if isinstance(v, Estimate) else v for k, v in vars(self).items()}


@dataclass(frozen=True)
class Deviation:
    """What it costs to train a model of ``factor`` times the optimal size on the same compute.

    extra_loss: above the optimum, in nats; equivalent_compute: the share of the compute with which the optimal model reaches
    the same loss (0.9: a tenth is wasted). In a draw the model is the same and the optimum is the draw's own.
    """

    factor: float
    params: float
    tokens: float
    loss: Estimate
    extra_loss: Estimate
    equivalent_compute: Estimate

    def to_dict(self) -> dict[str, Any]:
        return {k: v.to_dict() if isinstance(v, Estimate) else v for k, v in vars(self).items()}


@dataclass(frozen=True)
class RequiredCompute:
    """Compute for a loss, in FLOPs; infinite where the law never gets there. floor: the least loss the law can reach."""

    loss: float
    compute: Estimate
    floor: Estimate

    @property
    def reachable(self) -> bool:
        return math.isfinite(self.compute.value)

    def to_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "reachable": self.reachable, "compute": self.compute.to_dict(),
                "floor": self.floor.to_dict()}  # fmt: skip


def allocate(law: Law, compute: float, *, flops: Flops = six_nd, level: float = LEVEL) -> Allocation:
    """Return the parameters and tokens of least loss for ``compute`` FLOPs.

    Raises:
        InputError: the compute is not positive, the law does not split compute, or no optimum lies between one parameter and
            one token.
    """
    check_compute(compute)
    computes = compute * np.array([0.5, 1.0, 2.0])
    if is_closed_form(law, flops):
        with np.errstate(all="ignore"):
            params, tokens, loss = closed_form(law.params, computes)
            params_s, tokens_s, loss_s = closed_form(law.sample_params, computes)
        if not (params[1] >= 1 and tokens[1] >= 1):
            raise InputError(
                f"{compute:.3g} FLOPs: the optimum is {params[1]:.3g} parameters on {tokens[1]:.3g} tokens, "
                "expected at least one of each"
            )
        method = "closed form"
    else:
        params, tokens, loss = np.transpose([optimum(law, c, flops) for c in computes])
        params_s, tokens_s, loss_s = optimum_draws(law, computes, flops)
        method = "search"

    def estimate(function: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Estimate:
        return Estimate.of(function(params, tokens, loss), function(params_s, tokens_s, loss_s), level)

    with np.errstate(all="ignore"):
        return Allocation(
            compute=float(compute),
            params=estimate(lambda n, d, loss: n[..., 1]),
            tokens=estimate(lambda n, d, loss: d[..., 1]),
            tokens_per_param=estimate(lambda n, d, loss: d[..., 1] / n[..., 1]),
            loss=estimate(lambda n, d, loss: loss[..., 1]),
            a=estimate(lambda n, d, loss: np.log(n[..., 2] / n[..., 0]) / np.log(4)),
            b=estimate(lambda n, d, loss: np.log(d[..., 2] / d[..., 0]) / np.log(4)),
            method=method,
        )


def deviations(
    law: Law, best: Allocation, factors: tuple[float, ...], *, flops: Flops = six_nd, level: float = LEVEL
) -> tuple[Deviation, ...]:
    """Return the cost of models of ``factors`` times the optimal size at the same compute.

    Raises:
        InputError: the compute does not suffice for a token of one of them.
    """
    params = best.params.value * np.asarray(factors, dtype=float)
    tokens = np.asarray(tokens_for(params, best.compute, flops), dtype=float)
    if not (tokens >= 1).all():
        raise InputError(
            f"{best.compute:.3g} FLOPs do not suffice for a token of {params[tokens < 1][0]:.3g} parameters"
        )
    columns = columns_of(law, params, tokens, flops)
    losses, losses_s = law.predict(*columns), law.draws(*columns)
    best_s = best_loss_draws(law, np.array([best.compute]), flops)
    reached = [_compute_point(law, loss, flops) / best.compute for loss in losses]
    reached_s = _compute_draws(law, losses_s, flops, best.compute * np.array([1e-4, 1.0])) / best.compute
    return tuple(
        Deviation(
            factor=float(factor),
            params=float(params[i]),
            tokens=float(tokens[i]),
            loss=Estimate.of(losses[i], losses_s[:, i], level),
            extra_loss=Estimate.of(
                max(losses[i] - best.loss.value, 0.0), np.maximum(losses_s - best_s, 0.0)[:, i], level
            ),
            # at most 1 by definition; a search ends a rounding away from it
            equivalent_compute=Estimate.of(min(reached[i], 1.0), np.minimum(reached_s[:, i], 1.0), level),
        )
        for i, factor in enumerate(factors)
    )


def compute_for_loss(law: Law, loss: float, *, flops: Flops = six_nd, level: float = LEVEL) -> RequiredCompute:
    """Return the least training compute that reaches ``loss``; infinite where the law's floor is above it.

    Raises:
        InputError: the loss is not positive and finite.
    """
    if not (math.isfinite(loss) and loss > 0):
        raise InputError(f"the loss wanted is {loss}, expected a positive finite number")
    with np.errstate(over="ignore"):
        everything = columns_of(law, ENDLESS, ENDLESS, flops)
        floors = law.draws(*everything)[:, 0]
        floor = Estimate.of(law.predict(*everything)[0], floors, level)
    wanted = np.full((len(floors), 1), loss)
    compute = Estimate.of(_compute_point(law, loss, flops), _compute_draws(law, wanted, flops)[:, 0], level)
    return RequiredCompute(float(loss), compute, floor)


def best_loss(law: Law, compute: float, flops: Flops = six_nd) -> float:
    """Return the least loss that ``compute`` FLOPs can reach under the law."""
    if law.form.variables == ("flops",):
        return float(law.predict(compute)[0])
    if is_closed_form(law, flops):
        return float(closed_form(law.params, np.array([compute]))[2][0])
    return optimum(law, compute, flops)[2]


def best_loss_draws(law: Law, computes: np.ndarray, flops: Flops = six_nd) -> np.ndarray:
    """Return the least loss at each compute under each bootstrap draw, (samples, computes)."""
    if law.form.variables == ("flops",):
        return law.draws(computes)
    if is_closed_form(law, flops):
        with np.errstate(all="ignore"):
            return closed_form(law.sample_params, computes)[2]
    return optimum_draws(law, computes, flops)[2]


def closed_form(params: dict[str, Any], computes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return N*, D*, L*, each (..., computes), of Chinchilla parameters (...,); of no draws, (0, computes)."""
    if not params:
        return (np.empty((0, len(computes))),) * 3
    E, A, alpha, B, beta = (np.asarray(params[k], dtype=float)[..., None] for k in ("E", "A", "alpha", "B", "beta"))
    log_c, total = np.log(computes / 6.0), alpha + beta
    log_g = (np.log(alpha * A) - np.log(beta * B)) / total
    log_n, log_d = log_g + beta / total * log_c, alpha / total * log_c - log_g
    loss = E + np.exp(np.log(A) - alpha * log_n) + np.exp(np.log(B) - beta * log_d)
    return np.exp(log_n), np.exp(log_d), loss


def is_closed_form(law: Law, flops: Flops) -> bool:
    """Say whether the closed form holds.

    Raises:
        InputError: it would, but a term of the law does not fall with its variable.
    """
    if law.form.name != "chinchilla" or flops is not six_nd:
        return False
    for names, variable in ((("A", "alpha"), "params"), (("B", "beta"), "tokens")):
        for name in names:
            if not law.params[name] > 0:
                raise InputError(
                    f"{name} is {law.params[name]:g}: the law's loss does not fall with {variable}, "
                    "so no split of compute is optimal; expected a positive number"
                )
    return True


def columns_of(law: Law, params: Any, tokens: Any, flops: Flops = six_nd) -> tuple[Any, ...]:
    """Return the law's columns at these parameters and tokens, all of them unique.

    Raises:
        InputError: the law has another variable.
    """
    known = {
        "params": params,
        "tokens": tokens,
        "unique_tokens": tokens,
        "flops": np.minimum(flops(params, tokens), ENDLESS),
    }
    for name in law.form.variables:
        if name not in known:
            raise InputError(f"the law is in {name}, expected a law in {', '.join(known)} to plan from")
    return tuple(known[name] for name in law.form.variables)


def optimum(law: Law, compute: float, flops: Flops = six_nd) -> tuple[float, float, float]:
    """Return (N*, D*, L*) by search over sizes: a grid, then Brent's method between the neighbours of its least point.

    Raises:
        InputError: the law does not contain both params and tokens, or no optimum lies inside.
    """
    sizes = _sizes(law, compute, flops)

    def loss_at(log_params: Any) -> np.ndarray:
        params = np.exp(log_params)
        return law.predict(*columns_of(law, params, tokens_for(params, compute, flops), flops))

    losses = loss_at(np.log(sizes))
    least = int(losses.argmin())
    if least in (0, len(sizes) - 1):
        raise InputError(
            f"{compute:.3g} FLOPs: the law's loss is least at the edge, {sizes[least]:.3g} parameters on "
            f"{tokens_for(sizes[least], compute, flops):.3g} tokens; it has no optimal split there"
        )
    found = minimize_scalar(
        lambda log_params: float(loss_at(log_params)[0]),
        bounds=tuple(np.log(sizes[[least - 1, least + 1]])), method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    params = math.exp(found.x)
    return params, float(tokens_for(params, compute, flops)), float(found.fun)


def check_compute(compute: float) -> None:
    if not (math.isfinite(compute) and compute > 0):
        raise InputError(f"the budget is {compute} FLOPs, expected a positive finite number")


def _sizes(law: Law, compute: float, flops: Flops) -> np.ndarray:
    """Return sizes from one parameter up to as many as leave one token."""
    if not {"params", "tokens"} <= set(law.form.variables):
        raise InputError(
            f"the law is in {', '.join(law.form.variables)}: it does not say how to split compute; "
            "expected a law in params and tokens, such as --form chinchilla"
        )
    if not tokens_for(1.0, compute, flops) >= 1:
        raise InputError(f"{compute:.3g} FLOPs do not suffice for one parameter on one token")
    largest = brentq(lambda x: math.log(flops(math.exp(x), 1.0) / compute), 0.0, math.log(compute) + 50.0)
    sizes = np.exp(np.linspace(0.0, largest, GRID))
    return sizes[tokens_for(sizes, compute, flops) > 0]


def optimum_draws(law: Law, computes: np.ndarray, flops: Flops) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return N*, D*, L* under each draw, (samples, computes).

    A grid over all sizes, a second one over those where any draw has its optimum, and there the parabola through the least
    point and its neighbours.
    """
    found = []
    for compute in computes:
        sizes = _sizes(law, compute, flops)[:: GRID // DRAWS_GRID]
        for last in (False, True):
            tokens = tokens_for(sizes, compute, flops)
            losses = law.draws(*columns_of(law, sizes, tokens, flops))
            least = np.clip(losses.argmin(-1), 1, len(sizes) - 2)
            if len(losses) and not last:
                sizes = np.geomspace(sizes[least.min() - 1], sizes[least.max() + 1], DRAWS_GRID)
        row, step = np.arange(len(losses)), np.log(sizes[1] / sizes[0])
        below, at, above = (losses[row, least + k] for k in (-1, 0, 1))
        curvature = below - 2 * at + above
        with np.errstate(all="ignore"):
            shift = np.where(curvature > 0, np.clip(0.5 * (below - above) / curvature, -1, 1), 0.0)
        params = sizes[least] * np.exp(shift * step)
        found.append((params, tokens_for(params, compute, flops), at - 0.25 * (below - above) * shift))
    return tuple(np.stack(column, axis=-1) for column in zip(*found, strict=True))


def _compute_point(law: Law, loss: float, flops: Flops) -> float:
    """Return the compute at which the best loss is ``loss``, infinite where there is none within COMPUTE_RANGE."""
    if is_closed_form(law, flops):
        return float(_closed_form_compute(law.params, loss))

    def gap(log_compute: float) -> float:
        return best_loss(law, math.exp(log_compute), flops) - loss

    low, high = _searchable(law, flops)
    if gap(high) > 0:
        return math.inf
    if gap(low) < 0:
        return math.exp(low)
    return math.exp(brentq(gap, low, high, xtol=1e-12, rtol=1e-14))


def _compute_draws(law: Law, losses: np.ndarray, flops: Flops, within: np.ndarray | None = None) -> np.ndarray:
    """Return the compute for losses (samples, n), each under its own draw, (samples, n).

    Without a closed form by lines between points of the curve of best losses: first over ``within``, by default everything,
    then over where the answers lie.
    """
    if not len(losses):
        return np.empty(losses.shape)
    if is_closed_form(law, flops):
        with np.errstate(all="ignore"):
            return _closed_form_compute({name: v[:, None] for name, v in law.sample_params.items()}, losses)
    ends = _searchable(law, flops) if within is None else np.log(within)
    for _ in range(2 if within is None else 1):
        grid = np.linspace(*ends, COMPUTE_GRID)
        best = np.minimum.accumulate(best_loss_draws(law, np.exp(grid), flops), axis=-1)
        found = np.array([np.interp(-loss, -row, grid, right=np.inf) for loss, row in zip(losses, best, strict=True)])
        inside = found[np.isfinite(found)]
        if inside.size:
            ends = max(inside.min() - (grid[1] - grid[0]), grid[0]), min(inside.max() + (grid[1] - grid[0]), grid[-1])
    return np.exp(found)


def _searchable(law: Law, flops: Flops) -> tuple[float, float]:
    """Return the logs of the least and largest compute for which the law has an optimum."""
    low, high = (math.log(c) for c in COMPUTE_RANGE)
    if law.form.variables == ("flops",):
        return low, high
    while True:
        try:
            optimum(law, math.exp(low), flops)
            return low, high
        except InputError:
            low += math.log(10)
            if low >= high:
                raise


def _closed_form_compute(params: dict[str, Any], loss: Any) -> np.ndarray:
    E, alpha, beta = (np.asarray(params[k], dtype=float) for k in ("E", "alpha", "beta"))
    reducible = closed_form({**params, "E": 0.0 * E}, np.array([6.0]))[2][..., 0]  # at c = 1
    above = np.asarray(loss, dtype=float) - E
    with np.errstate(all="ignore"):
        compute = 6.0 * (reducible / above) ** (1 / alpha + 1 / beta)
    return np.where(above > 0, compute, np.inf)
