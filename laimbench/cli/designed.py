"""``laimbench sweep --budget``: choose the runs that tell most, train them, say what was expected and what came out."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from laimbench.cli.runs import number
from laimbench.errors import InputError
from laimbench.store_address import StoreAddress

FAR = 10.0  # times the largest run's compute: where an optimum is asked for unless the question says


def design_sweep(
    console: Console,
    train: Any,
    store_path: StoreAddress | Path,
    *,
    budget: str,
    question: str,
    values: dict[str, Any],
    dry_run: bool,
) -> tuple[dict[str, Any], list[str]]:
    """Design a sweep to a budget, train it by ``train`` (a ladder to its outcome) unless it is a dry run; return what is known, and failures."""
    from laimbench.design.quantities import parse_question
    from laimbench.design.sequential import Designer, run_sequentially
    from laimbench.ladder.designed import LadderLab, affordable, design_name, make_base, parse_budget
    from laimbench.store import Store

    started = time.monotonic()
    parse_question(question)
    amount, base = parse_budget(budget), make_base(values, question)
    name = design_name(base, question, amount)
    known = _finished(store_path, name)
    if known is not None and not dry_run:
        console.print(f"{name}: done before; its runs are in {store_path}")
        _print_outcome(console, known)
        return known, []
    options = affordable(base, amount)
    for backend, cost in options.costs.items():
        console.print(f"{backend}: a step takes {1e3 * cost.overhead_s:.2f} ms and 1 s per {1 / max(cost.s_per_flop, 1e-30):.3g} FLOPs, "
                      f"a run {cost.fixed_s:.2f} s beside its steps")  # fmt: skip
    quantity = quantity_of(question, options.space, amount.value)
    designer = Designer(options.space, quantity, amount.value)
    with nullcontext() if dry_run else Store(store_path) as store:
        if store is not None:
            lab = LadderLab(name, base, options, amount, store, train, started)
            designer.learn(lab.results())
        spent = 0.0 if store is None else lab.spent()
        plan = designer.plan(amount.value - spent)
        if not plan.counts.any() and not designer.done.any():
            raise InputError(f"--budget is {amount.text()}: no run fits it, expected a larger one")
        first = _facts(name, quantity, amount, plan)
        print_design(console, base, options, amount, plan, designer, first)
        if dry_run:
            return first, []
        run_sequentially(designer, lab, lambda plan, spent: _tell(console, amount, quantity, plan, spent))
        designer.learn(lab.results(), bootstrap=400)
        value, low, high = map(quantity.natural, designer.interval())
        half = quantity.half_width(low, high)
        outcome = {**first, "spent": lab.spent(), "runs": int(designer.done.sum()),
                   "obtained": None if np.isnan(value) else {
                       name: number if np.isfinite(number) else None
                       for name, number in {"value": value, "low": low, "high": high, "half_width": half}.items()},
                   "law": designer.fit and designer.fit.params, "warnings": designer.fit.warnings if designer.fit else [],
                   "noise": designer.noise.one}  # fmt: skip
        store.save_document("design", outcome)
        _print_outcome(console, outcome)
        return outcome, lab.failures


def base_values(ladder: Path | None, **given: str | None) -> dict[str, Any]:
    """Return what all runs share: of a ladder's file, and of the command line."""
    from laimbench.ladder.config import read_values

    values = {} if ladder is None else read_values(ladder)
    return values | {key: value for key, value in given.items() if value is not None}


def quantity_of(question: str, space, budget: float) -> Any:
    from laimbench.design import Speedup, quantities
    from laimbench.design.sequential import MOST_SHARE

    name, compute = quantities.parse_question(question)
    if name == "exponent":
        return quantities.exponent()
    if compute is None:
        # One digit, so that it is the same when costs are measured again.
        largest = 6 * (space.params * space.tokens)[space.costs <= MOST_SHARE * budget].max(initial=1.0)
        compute = float(f"{(FAR if name == 'optimum' else 1) * largest:.0e}")
    return {"optimum": quantities.optimum, "prediction": quantities.prediction, "speedup": Speedup}[name](compute)


def _finished(store_path: StoreAddress | Path, name: str) -> dict[str, Any] | None:
    from laimbench.store import MissingStore, Store

    try:
        with Store(store_path, must_exist=True) as store:
            return next((d for d in reversed(store.documents("design")) if d["name"] == name), None)
    except MissingStore:
        return None


def _facts(name: str, quantity, amount, plan) -> dict[str, Any]:
    return {"name": name, "question": quantity.name, "compute": quantity.compute, "budget": amount.value, "unit": amount.unit,
            "planned_cost": plan.cost, "expected_half_width": plan.half_width, "logarithmic": quantity.logarithmic}  # fmt: skip


def print_design(console: Console, base, options, amount, plan, designer, facts: dict[str, Any]) -> None:
    space = options.space
    table = Table(title=f"{facts['name']}: planned, redone after each part of it")
    for column in ("width", "parameters", "tokens (seeds)", "runs", "cost"):
        table.add_column(column, justify="left" if column == "tokens (seeds)" else "right")
    for width in np.unique(options.widths[plan.counts > 0]):
        at = np.flatnonzero((options.widths == width) & (plan.counts > 0))
        tokens = ", ".join(f"{space.tokens[i]:.3g}" + f" ({plan.counts[i]})" * bool(plan.counts[i] > 1) for i in at)
        table.add_row(str(width), f"{space.params[at[0]]:,.0f}", tokens, str(plan.counts[at].sum()),
                      amount.text(float(space.costs[at] @ plan.counts[at])))  # fmt: skip
    console.print(table)
    fewest = designer.quantity.fewest
    if np.count_nonzero(plan.counts + designer.done) < fewest:
        console.print(
            f"note: room for fewer than {fewest} configurations: there will be no interval; a larger budget is needed"
        )
    laws, noise = plan.laws, plan.noise
    source = "the fit so far" if designer.fit is not None else "the prior"
    console.print(f"Laws planned with: {len(laws)} of {source}, alpha {laws[:, 2].min():.2f} to {laws[:, 2].max():.2f}, beta "
                  f"{laws[:, 4].min():.2f} to {laws[:, 4].max():.2f}; noise of a run {100 * noise.one:.1f} % of its loss")  # fmt: skip
    console.print(
        f"{plan.counts.sum()} runs with {', '.join(base.backends)} for {amount.text(plan.cost)} of {amount.text()}"
    )
    console.print(f"Expected 95 % interval of the {designer.quantity.meaning}: {_width(facts, plan.half_width)}")


def _tell(console: Console, amount, quantity, plan, spent: float) -> None:
    expected = _width({"logarithmic": quantity.logarithmic}, plan.half_width)
    console.print(
        f"{amount.text(spent)} spent, {plan.counts.sum()} runs for {amount.text(plan.cost)} planned, expected {expected}"
    )


def _width(facts: dict[str, Any], half: float) -> str:
    return f"a factor of {np.exp(half):.4g} either way" if facts["logarithmic"] else f"± {half:.3g}"


def _print_outcome(console: Console, outcome: dict[str, Any]) -> None:
    from laimbench.ladder.designed import Amount

    amount = Amount(outcome["budget"], outcome["unit"])
    share = outcome["spent"] / outcome["budget"]
    console.print(
        f"{outcome['runs']} runs, {amount.text(outcome['spent'])} of {amount.text()} spent ({100 * share:.0f} %)"
    )
    obtained = outcome["obtained"]
    if obtained is None:
        console.print("no interval: too few configurations were trained")
        return
    for warning in outcome["warnings"]:
        console.print(f"note: {warning}", markup=False)
    value, low, high = (number(obtained[name], ".4g") or "open" for name in ("value", "low", "high"))
    half = obtained["half_width"]
    console.print(f"{outcome['question']}: {value}, 95 % {low} to {high}; obtained {_width(outcome, np.inf if half is None else half)}, "
                  f"expected {_width(outcome, outcome['expected_half_width'])}")  # fmt: skip
