"""Which parameters and which FLOPs a law counts: switchable, and what the choice does to the exponents.

The compute-optimal exponent of N* ~ C^a is 0.73 in Kaplan et al. 2020 (arXiv:2001.08361) and 0.50 in Hoffmann et al. 2022
(arXiv:2203.15556); most of the gap is that the first leaves embeddings out of N and C at small sizes (Pearce and Song 2024,
arXiv:2406.12907), the rest the output head's FLOPs, warm-up and batch size (Porian et al. 2024, arXiv:2406.19146).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from laimbench import flops as counting
from laimbench.errors import InputError
from laimbench.laws.fit import Fit, fit_chinchilla

if TYPE_CHECKING:
    from laimbench.laws.table import Table

FLOP_CONVENTIONS = counting.CONVENTIONS
PARAM_CONVENTIONS = ("total", "non_embedding")
SHAPE = ("width", "depth", "vocab_size", "seqlen")  # what the exact count needs


@dataclass(frozen=True)
class Effect:
    """What a fit says under one convention; numbers: by name, as the fit function returned them."""

    params: str
    flops: str
    rows: int
    numbers: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def apply(table: "Table", params: str | None = None, flops: str | None = None) -> "Table":
    """Return the table with its params and flops columns by a convention; tokens are data and stay.

    Args:
        params: "total"; "non_embedding" (without token and position embeddings, Kaplan et al. 2020): the column
            params_non_embedding, else params less vocab_size x width (the token embedding, once), else 12 depth width^2 (their
            section 2.1); None leaves the column alone.
        flops: "6ND" (6 x total x tokens), "kaplan" (6 x non-embedding x tokens), "exact" (products, causal attention, output
            head, from the columns width, depth, vocab_size, seqlen: ``laimbench.flops``); None leaves the column alone.

    Raises:
        InputError: an unknown convention, or a column that it needs is missing, not positive or not finite.
    """
    columns, notes = dict(table.columns), list(table.notes)
    if params is not None:
        if params not in PARAM_CONVENTIONS:
            raise InputError(f"parameter convention is {params!r}, expected one of {', '.join(PARAM_CONVENTIONS)}")
        columns["params_total"] = _total(table)[0]
        columns["params"], how = _total(table) if params == "total" else _non_embedding(table)
        notes.append(f"params are {params.replace('_', '-')}{how}")
    derived = table.derived
    if flops is not None:
        (tokens,) = _positive(table, "tokens")
        facts: dict[str, Any] = {}
        if flops == "6ND":
            facts["params"] = _total(table)[0]
        elif flops == "kaplan":
            facts["params_non_embedding"] = _non_embedding(table)[0]
        elif flops == "exact":
            shape = dict(zip(SHAPE, _positive(table, *SHAPE), strict=True))
            facts["forward_per_token"] = counting.gpt_forward_flops_per_token(**shape)
        columns["flops"] = counting.training_flops(flops, tokens, **facts)
        notes.append(f"flops are counted by the convention {flops}")
        derived = tuple(dict.fromkeys((*derived, "flops")))
    return replace(table, columns=columns, derived=derived, notes=tuple(notes))


def compare(
    table: "Table", fit: Callable[[dict[str, np.ndarray]], Mapping[str, float]] | None = None
) -> tuple[list[Effect], list[str]]:
    """Fit under every convention that the table's columns allow.

    Args:
        table: runs; those without a loss are left out.
        fit: takes the runs (``Table.runs``) and returns numbers by name; by default ``optimal_exponents`` of
            a Chinchilla fit.

    Returns:
        The effects, and for each convention that is not there why ("kaplan: no column ...").
    """
    effects, unavailable = [], []
    table.needs("loss")
    table = table.select(np.isfinite(table.columns["loss"]))
    for params in PARAM_CONVENTIONS:
        law = None  # of loss in params and tokens: one for all ways to count FLOPs
        for flops in FLOP_CONVENTIONS:
            try:
                runs = apply(table, params, flops).runs()
            except InputError as error:
                unavailable.append(f"{params} parameters, {flops} FLOPs: {error}")
                continue
            if fit is None and law is None:
                law = fit_chinchilla(runs["params"], runs["tokens"], runs["loss"], bootstrap=0)
            found = optimal_exponents(runs, law) if fit is None else fit(runs)
            numbers = {name: float(value) for name, value in found.items()}
            effects.append(Effect(params, flops, len(table), numbers))
    return effects, unavailable


def optimal_exponents(runs: Mapping[str, np.ndarray], law: Fit) -> dict[str, float]:
    """Return alpha and beta of a Chinchilla law of these runs, and the exponents of N* ~ C^a, D* ~ C^b.

    With FLOPs C = k N^g D over the table's range (g by least squares on logs; 1 for 6ND), minimising A / N^alpha + B / D^beta at
    constant C gives a = beta / (alpha + g beta) and b = alpha / (alpha + g beta); g = 1 is Hoffmann et al. 2022, eq. 4.
    """
    params, tokens, flops = (np.asarray(runs[name], dtype=float) for name in ("params", "tokens", "flops"))
    found, g = law.params, 1.0
    if np.ptp(np.log(params)) > 0:
        g = float(np.polyfit(np.log(params), np.log(flops / tokens), 1)[0])
    total = found["alpha"] + g * found["beta"]
    return {
        "alpha": found["alpha"], "beta": found["beta"], "flops_exponent_of_params": g,
        "params_exponent": found["beta"] / total, "tokens_exponent": found["alpha"] / total,
    }  # fmt: skip


def _total(table: "Table") -> tuple[np.ndarray, str]:
    if "params_total" in table.columns:  # a convention was applied before
        return table.columns["params_total"], ""
    if "params" in table.columns:
        return _positive(table, "params")[0], ""
    parts = _positive(table, "params_non_embedding", "vocab_size", "width")
    return parts[0] + parts[1] * parts[2], ": params_non_embedding + vocab_size x width"


def _non_embedding(table: "Table") -> tuple[np.ndarray, str]:
    has = table.columns.keys()
    if "params_non_embedding" in has:
        return _positive(table, "params_non_embedding")[0], ""
    if {"params", "vocab_size", "width"} <= has:
        vocab_size, width = _positive(table, "vocab_size", "width")
        found = _total(table)[0] - vocab_size * width
        if (found <= 0).any():
            i = int((found <= 0).argmax())
            raise InputError(
                f"{table.source}: row {table.rows[i]}, params less vocab_size x width is {found[i]:g}, expected more than 0"
            )
        return found, ": params - vocab_size x width"
    if {"width", "depth"} <= has:
        width, depth = _positive(table, "width", "depth")
        return 12 * depth * width**2, ": 12 x depth x width^2"
    raise InputError(
        f"{table.source}: no column params_non_embedding, and neither vocab_size and width nor depth and width to find it from"
    )


def _positive(table: "Table", *names: str) -> list[np.ndarray]:
    table.needs(*names)
    for name in names:
        column = table.columns[name]
        wrong = ~(np.isfinite(column) & (column > 0))
        if wrong.any():
            i = int(wrong.argmax())
            raise InputError(
                f"{table.source}: row {table.rows[i]}, {name} is {column[i]:g}, expected a positive finite number"
            )
    return [table.columns[name] for name in names]
