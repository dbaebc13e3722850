"""Models that will serve many tokens: smaller and trained longer than the training optimum.

Over a model's life a token trained costs 6 N and a token served 2 N FLOPs. At a given quality, the loss L, the model to build is

    minimise over N, D:   6 N D + 2 N T   subject to   L(N, D) = L

with T the tokens served, prompts included. Source: Sardana et al. 2024 (arXiv:2401.00448), eq. 2. For the opposite question, the
best model for a given total, call ``allocate`` with ``lifetime_flops(T)``.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from laimbench.errors import InputError
from laimbench.laws.planning.allocation import Allocation, Flops, columns_of, six_nd
from laimbench.laws.planning.law import LEVEL, Estimate, Law

MAX_LOG_TOKENS = 140.0
BISECTIONS = 56  # of that range, down to a relative 2e-15


@dataclass(frozen=True)
class InferenceAllocation:
    """The model of least FLOPs over its life at the reference's quality.

    total: training and serving; reference_total: the same for the training-optimal model; saving: 1 - total / reference_total.
    """

    served_tokens: float
    loss: float
    params: Estimate
    tokens: Estimate
    tokens_per_param: Estimate
    training_flops: float
    inference_flops: float
    total: float
    reference_total: float
    saving: Estimate

    def to_dict(self) -> dict[str, Any]:
        return {k: v.to_dict() if isinstance(v, Estimate) else v for k, v in vars(self).items()}


def serving_flops(params: Any, served_tokens: float) -> Any:
    """Return 2 N T, a forward pass for every token served (attention over the context is not counted)."""
    return 2.0 * params * served_tokens


def lifetime_flops(served_tokens: float, flops: Flops = six_nd) -> Flops:
    """Return the FLOPs of training and serving as a function of parameters and training tokens."""
    return lambda params, tokens: flops(params, tokens) + serving_flops(params, served_tokens)


def tokens_for_loss(law: Law, params: Any, loss: float, flops: Flops = six_nd) -> np.ndarray:
    """Return the training tokens with which models of these sizes reach the loss, infinite where none suffice."""
    params = np.atleast_1d(np.asarray(params, dtype=float))
    low, high = np.zeros(len(params)), np.full(len(params), MAX_LOG_TOKENS)
    unreached = law.predict(*columns_of(law, params, np.exp(high), flops)) > loss
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        above = law.predict(*columns_of(law, params, np.exp(middle), flops)) > loss
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(unreached, np.inf, np.exp(high))


def allocate_for_inference(
    law: Law, reference: Allocation, served_tokens: float, *, flops: Flops = six_nd, level: float = LEVEL
) -> InferenceAllocation:
    """Return the model as good as ``reference`` that is cheapest over its life.

    In every bootstrap draw the quality wanted is that draw's own loss of the reference model, so that the interval shows what
    is not known about the trade of parameters for tokens, and not what is not known about the loss itself.

    Raises:
        InputError: the tokens served are negative or not finite, or no optimum lies inside the sizes searched.
    """
    if not (math.isfinite(served_tokens) and served_tokens >= 0):
        raise InputError(f"the tokens served are {served_tokens}, expected a finite number, 0 or more")
    cost = lifetime_flops(served_tokens, flops)
    loss = float(law.predict(*columns_of(law, reference.params.value, reference.tokens.value, flops))[0])

    def total_at(log_params: Any) -> np.ndarray:
        params = np.exp(np.atleast_1d(log_params))
        return cost(params, tokens_for_loss(law, params, loss, flops))

    sizes = math.log(reference.params.value) + np.linspace(-16.0, 5.0, 211)
    least = int(total_at(sizes).argmin())
    if least in (0, len(sizes) - 1):
        raise InputError(f"{served_tokens:.3g} tokens served: no optimal size within {math.exp(sizes[0]):.3g} to "
                         f"{math.exp(sizes[-1]):.3g} parameters")  # fmt: skip
    found = minimize_scalar(lambda x: float(total_at(x)[0]), bounds=(sizes[least - 1], sizes[least + 1]),
                            method="bounded", options={"xatol": 1e-10})  # fmt: skip
    params = math.exp(found.x)
    tokens = float(tokens_for_loss(law, params, loss, flops)[0])
    reference_total = float(cost(reference.params.value, reference.tokens.value))
    params_s, tokens_s = _draws(law, reference, cost, flops)
    return InferenceAllocation(
        served_tokens=float(served_tokens),
        loss=loss,
        params=Estimate.of(params, params_s, level),
        tokens=Estimate.of(tokens, tokens_s, level),
        tokens_per_param=Estimate.of(tokens / params, tokens_s / params_s, level),
        training_flops=float(flops(params, tokens)),
        inference_flops=float(serving_flops(params, served_tokens)),
        total=float(found.fun),
        reference_total=reference_total,
        saving=Estimate.of(
            1 - float(found.fun) / reference_total, 1 - cost(params_s, tokens_s) / reference_total, level
        ),
    )


def _draws(law: Law, reference: Allocation, cost: Flops, flops: Flops) -> tuple[np.ndarray, np.ndarray]:
    """Return the optimal params and tokens (samples,) of every draw, from a grid of sizes and tokens."""
    columns = columns_of(law, reference.params.value, reference.tokens.value, flops)
    wanted = law.draws(*columns)[:, 0]
    if not len(wanted):
        return np.empty(0), np.empty(0)
    log_sizes = math.log(reference.params.value) + np.linspace(-9.0, 3.0, 97)
    log_tokens = math.log(reference.tokens.value) + np.linspace(-6.0, 14.0, 161)
    row, totals, reached = np.arange(len(wanted)), [], []
    for log_size in log_sizes:
        losses = law.draws(*columns_of(law, np.full(len(log_tokens), math.exp(log_size)), np.exp(log_tokens), flops))
        # losses fall with tokens: the first column at or below what is wanted, and the line to the one before it
        first = np.clip((losses > wanted[:, None]).sum(-1), 1, len(log_tokens) - 1)
        before, after = losses[row, first - 1], losses[row, first]
        share = np.clip((before - wanted) / np.where(before > after, before - after, 1.0), 0.0, 1.0)
        tokens = np.exp(log_tokens[first - 1] + share * (log_tokens[1] - log_tokens[0]))
        tokens = np.where(losses[:, -1] > wanted, np.inf, tokens)
        reached.append(tokens)
        totals.append(cost(np.full(len(tokens), math.exp(log_size)), tokens))
    least = np.argmin(totals, axis=0)
    return np.exp(log_sizes[least]), np.array(reached)[least, row]
