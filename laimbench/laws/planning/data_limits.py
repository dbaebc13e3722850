"""Data that run out: what tokens seen again are worth, and how many epochs pay.

Of D tokens trained on, of which U are unique, with R_D = D / U - 1 repetitions, and of N parameters, of which U_N are what U
tokens could make use of, with R_N = N / U_N - 1,

    D' = U + U R*_D (1 - exp(-R_D / R*_D)),   N' = U_N + U_N R*_N (1 - exp(-R_N / R*_N)),   L = L(N', D').

A token of the next epoch is worth exp(-R_D / R*_D) of a fresh one; D' never exceeds (1 + R*_D) U. U_N is the optimal size for U
unique tokens. Source: Muennighoff et al. 2023 (arXiv:2305.16264), eq. 5 and 6; constants from the authors' repository
huggingface/datablations (README, "Parametric Fit"), where the paper rounds them to 15.4 and 5.3. They were fitted on C4 and
OSCAR, up to 9B parameters; another corpus has its own.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from laimbench.errors import InputError
from laimbench.laws.planning.allocation import (
    Allocation,
    Flops,
    allocate,
    closed_form,
    columns_of,
    compute_for_loss,
    is_closed_form,
    optimum,
    six_nd,
)  # fmt: skip
from laimbench.laws.planning.law import LEVEL, Estimate, Law

R_D = 15.387756
R_N = 5.309743
WORTH_PAYING = 0.5  # a token of the next epoch is worth half of a fresh one
WORTHLESS = 0.1


def effective(total: Any, unique: Any, constant: float) -> Any:
    """Return the unique tokens (or parameters) that ``total``, partly repeated, are worth; constant is R*_D (or R*_N)."""
    repeats = np.maximum(np.asarray(total, dtype=float) / unique - 1, 0.0)
    return np.where(repeats > 0, unique * (1 + constant * -np.expm1(-repeats / constant)), total)


def worth(epochs: Any, r_d: float = R_D) -> Any:
    """Return what a token seen after ``epochs`` epochs is worth, 1 for a fresh one."""
    return np.exp(-np.maximum(np.asarray(epochs, dtype=float) - 1, 0.0) / r_d)


def epochs_until(share: float, r_d: float = R_D) -> float:
    """Return the epochs after which a token is worth ``share`` of a fresh one."""
    return 1 + r_d * math.log(1 / share)


@dataclass(frozen=True)
class _LimitedForm:
    name: str
    equation: str
    variables: tuple[str, ...] = ("params", "tokens")


class DataLimitedLaw:
    """A law in params and tokens when only ``unique_tokens`` different tokens exist; itself such a law.

    A law that was fitted with unique_tokens as a variable is asked with its own; any other is asked at N' and D'. Its draws
    share the point's U_N.
    """

    def __init__(self, law: Law, unique_tokens: float, r_d: float = R_D, r_n: float = R_N):
        """Wrap a law.

        Raises:
            InputError: the unique tokens are not positive and finite, or the law has no params and tokens.
        """
        if not (math.isfinite(unique_tokens) and unique_tokens > 0):
            raise InputError(f"the unique tokens are {unique_tokens}, expected a positive finite number")
        if not {"params", "tokens"} <= set(law.form.variables):
            raise InputError(
                f"the law is in {', '.join(law.form.variables)}, expected params and tokens for a limit of data"
            )
        self.law, self.unique_tokens, self.r_d, self.r_n = law, float(unique_tokens), r_d, r_n
        self.params, self.sample_params = law.params, law.sample_params
        self.warnings, self.domain = law.warnings, law.domain
        self.own = "unique_tokens" in law.form.variables
        self.useful_params = math.inf if self.own else _optimal_params_for(law, self.unique_tokens)
        self.form = _LimitedForm(f"{law.form.name}, {unique_tokens:.4g} unique tokens", law.form.equation)

    def predict(self, params: Any, tokens: Any) -> np.ndarray:
        return self.law.predict(*self._columns(params, tokens))

    def draws(self, params: Any, tokens: Any) -> np.ndarray:
        return self.law.draws(*self._columns(params, tokens))

    def to_dict(self) -> dict[str, Any]:
        return {**self.law.to_dict(), "unique_tokens": self.unique_tokens,
                "repetition": "the law's own" if self.own else {"R_D": self.r_d, "R_N": self.r_n}}  # fmt: skip

    def _columns(self, params: Any, tokens: Any) -> tuple[Any, ...]:
        params, tokens = np.broadcast_arrays(*(np.atleast_1d(np.asarray(c, dtype=float)) for c in (params, tokens)))
        if self.own:
            known = {"params": params, "tokens": tokens, "unique_tokens": np.minimum(tokens, self.unique_tokens)}
            return tuple(known[name] for name in self.law.form.variables)
        useful = np.minimum(params, self.useful_params)
        return columns_of(
            self.law, effective(params, useful, self.r_n), effective(tokens, self.unique_tokens, self.r_d)
        )


@dataclass(frozen=True)
class DataLimits:
    """What limited data do to a plan.

    unlimited: the best split with fresh data; best: that on these data; epochs: its passes over them; effective_tokens: what its tokens are worth;
    next_token_worth: of a token more, against a fresh one; extra_loss: over unlimited data; equivalent_compute: the share of
    the compute that would reach the same loss with unlimited data; half_worth_epochs and worthless_epochs: where a repeated
    token is worth a half and a tenth; these are None where the law has its own way of repetition.
    """

    unique_tokens: float
    unlimited: Allocation
    best: Allocation
    epochs: Estimate
    effective_tokens: float | None
    next_token_worth: float | None
    extra_loss: Estimate
    equivalent_compute: float
    half_worth_epochs: float | None
    worthless_epochs: float | None
    table: tuple[dict[str, float], ...]

    def to_dict(self) -> dict[str, Any]:
        return {k: v.to_dict() if isinstance(v, Estimate | Allocation) else v for k, v in vars(self).items()}


def data_limits(
    law: Law, unlimited: Allocation, unique_tokens: float, *, flops: Flops = six_nd, level: float = LEVEL
) -> DataLimits:
    """Return what ``unique_tokens`` of data allow for the compute of ``unlimited``, the best split with fresh data.

    The table: the same model for 1, 2, 4, ... epochs, with loss in nats, the share of its tokens' worth, the worth of a token more.

    Raises:
        InputError: as ``DataLimitedLaw`` and ``allocate``.
    """
    limited = DataLimitedLaw(law, unique_tokens)
    best = allocate(limited, unlimited.compute, flops=flops, level=level)
    epochs = best.tokens.value / unique_tokens
    own, size = limited.own, best.params.value
    rows = []
    for passes in (1, 2, 4, 8, 16, 32, 64):
        row = {"epochs": passes, "tokens": passes * unique_tokens,
               "flops": float(flops(size, passes * unique_tokens)),
               "loss": float(limited.predict(size, passes * unique_tokens)[0])}  # fmt: skip
        if not own:
            row["worth"] = float(effective(passes, 1.0, R_D)) / passes
            row["next_token_worth"] = float(worth(passes))
        rows.append(row)
    return DataLimits(
        unique_tokens=float(unique_tokens),
        unlimited=unlimited,
        best=best,
        epochs=Estimate(
            epochs, *(None if end is None else end / unique_tokens for end in (best.tokens.low, best.tokens.high))
        ),
        effective_tokens=None if own else float(effective(best.tokens.value, unique_tokens, R_D)),
        next_token_worth=None if own else float(worth(epochs)),
        extra_loss=_extra(limited, best, law, unlimited, flops, level),
        equivalent_compute=compute_for_loss(law, best.loss.value, flops=flops).compute.value / unlimited.compute,
        half_worth_epochs=None if own else epochs_until(WORTH_PAYING),
        worthless_epochs=None if own else epochs_until(WORTHLESS),
        table=tuple(rows),
    )


def _extra(limited: Law, best: Allocation, law: Law, unlimited: Allocation, flops: Flops, level: float) -> Estimate:
    """Return the loss of the best split on limited data above that on fresh data, both models fixed in all draws."""
    here = columns_of(limited, best.params.value, best.tokens.value, flops)
    there = columns_of(law, unlimited.params.value, unlimited.tokens.value, flops)
    return Estimate.of(limited.predict(*here)[0] - law.predict(*there)[0],
                       limited.draws(*here)[:, 0] - law.draws(*there)[:, 0], level)  # fmt: skip


def _optimal_params_for(law: Law, tokens: float) -> float:
    """Return the size for which ``tokens`` fresh tokens are optimal at 6 N D."""
    if is_closed_form(law, six_nd):
        alpha, beta = law.params["alpha"], law.params["beta"]
        _, at_one, _ = closed_form(law.params, np.array([6.0]))
        compute = 6.0 * (tokens / at_one[0]) ** ((alpha + beta) / alpha)
        return float(closed_form(law.params, np.array([compute]))[0][0])

    def gap(log_compute: float) -> float:
        return math.log(optimum(law, math.exp(log_compute))[1] / tokens)

    return optimum(law, math.exp(brentq(gap, math.log(60 * tokens), math.log(6e12 * tokens), xtol=1e-10)))[0]
