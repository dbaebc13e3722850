"""``laimbench sweep``: train a ladder."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from laimbench.cli.output import JsonOption, console_for, emit_json


def sweep(
    ladder: Annotated[Path, typer.Argument(help="A ladder in TOML; see configs/.")],
    store: Annotated[Path, typer.Option(help="The store to write to.")] = Path("runs.sqlite"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print models, FLOPs and expected minutes; train nothing.")] = False,
    measure: Annotated[bool, typer.Option(help="With --dry-run: time a few steps of each model.")] = True,
    json: JsonOption = None,
) -> None:
    """Train models of growing size with several backends, same seeds and data. Started again, it goes on where it stopped."""
    from laimbench.ladder import load_ladder, plan_ladder

    console = console_for(json)
    planned = load_ladder(ladder)
    if dry_run:
        plans = []
        for plan in plan_ladder(planned, measure=measure):
            plans.append(plan)
        print_plan(console, plans)
        emit_json([plan.to_dict() for plan in plans], json)
        return
    outcome = run_ladder(console, planned, store)
    emit_json({"store": str(store), "trained": outcome.trained, "skipped": outcome.skipped,
               "failures": outcome.failures}, json)  # fmt: skip
    raise_failures(outcome)


def run_ladder(console: Console, ladder, store: Path):
    """Train a ladder into a store with progress on the console; return the outcome."""
    from laimbench.cli.progress import SweepProgress
    from laimbench.ladder import plan_ladder, sweep
    from laimbench.store import Store

    with Store(store) as opened:
        total = sum(plan.flops for plan in plan_ladder(ladder, measure=False))
        with SweepProgress(console, total) as progress:
            outcome = sweep(ladder, opened, listener=progress)
    console.print(f"{outcome.trained} runs trained, {outcome.skipped} done before, {len(outcome.failures)} failed: {store}")
    return outcome


def raise_failures(outcome) -> None:
    from laimbench.errors import RunError

    if outcome.failures:
        raise RunError(f"{len(outcome.failures)} of the runs failed, first: {outcome.failures[0]}")


def print_plan(console: Console, plans) -> None:
    table = Table(title="Planned runs (FLOPs exact; minutes from steps timed here, training only)")
    for column in ("size", "backend", "dtype", "seed", "parameters", "non-embedding", "tokens", "FLOPs", "minutes"):
        table.add_column(column, justify="left" if column in ("size", "backend", "dtype") else "right")
    for plan in plans:
        config = plan.config
        table.add_row(config.size, config.backend, config.dtype, str(config.seed), f"{plan.params:,}",
                      f"{plan.params_non_embedding:,}", f"{plan.tokens:,}", f"{plan.flops:.3g}",
                      "" if plan.seconds is None else f"{plan.seconds / 60:.2f}")  # fmt: skip
    console.print(table)
    minutes = "not measured" if any(p.seconds is None for p in plans) else f"{sum(p.seconds for p in plans) / 60:.1f}"
    console.print(f"{len(plans)} runs, {sum(p.flops for p in plans):.3g} FLOPs, expected minutes: {minutes}")
