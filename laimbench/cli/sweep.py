"""``laimbench sweep``: train a ladder."""

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.stores import store_option
from laimbench.cores import usable_cores
from laimbench.errors import InputError
from laimbench.store_address import RUNS, StoreAddress

LAUNCHERS = ("none", "local", "ray", "slurm")
EVERY_S = 10.0  # of laimbench.train.keeper, which imports torch
SaveEveryOption = Annotated[
    float,
    typer.Option(
        "--save-every",
        min=0,
        metavar="SECONDS",
        help="Of training between two states to go on from after a kill; further apart where writing would take over 5 % "
        "of the time. 0: after every step.",
    ),
]


def sweep(
    ladder: Annotated[
        Path | None,
        typer.Argument(help="A ladder in TOML; see configs/. With --budget: without sizes, tokens and seeds."),
    ] = None,
    store: Annotated[StoreAddress, store_option("The store to write to")] = RUNS,
    budget: Annotated[
        str, typer.Option(help="Choose the runs that tell most for this time (30m, 5h) or these FLOPs (1e18).")
    ] = "",
    question: Annotated[
        str,
        typer.Option(
            "--for",
            help="With --budget, what is to be known best: exponent, optimum[@FLOPS], speedup[@FLOPS], "
            "prediction@FLOPS.",
        ),
    ] = "exponent",
    family: Annotated[str | None, typer.Option(help="With --budget and no ladder: gpt.")] = None,
    data: Annotated[str | None, typer.Option(help="With --budget: the data source.")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda (not yet run on a GPU), in place of the ladder's.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print models, FLOPs and expected minutes; train nothing.")
    ] = False,
    measure: Annotated[bool, typer.Option(help="With --dry-run: time a few steps of each model.")] = True,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Keep every trained model in a folder of its own in here.", metavar="FOLDER")
    ] = None,
    save_every: SaveEveryOption = EVERY_S,
    launcher: Annotated[
        str,
        typer.Option(
            help="none: this process; local: several processes, as many as memory allows; ray: tasks of Ray, on the cluster of "
            "RAY_ADDRESS or a local one; slurm: a job array."
        ),
    ] = "none",
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes of the launcher; by default one for each core of this machine or of Ray's cluster, or for each GPU "
            "where the ladder is trained on them. slurm needs it.",
            min=1,
        ),
    ] = None,
    sbatch: Annotated[
        str, typer.Option(metavar="OPTIONS", help='With slurm: for sbatch, as "--partition=gpu --cpus-per-task=8".')
    ] = "",
    log: Annotated[
        list[str] | None,
        typer.Option(
            "--log",
            metavar="WHERE",
            help="Write evaluations to tensorboard[:FOLDER], wandb[:PROJECT] or "
            "mlflow[:URI] too; may be given several times.",
        ),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Train models of growing size with several backends, same seeds and data. Started again, it goes on where it stopped.

    With --budget the runs are chosen by optimal design, and chosen anew as results come in; see docs/design.md.
    """
    from laimbench.ladder import load_ladder, plan_ladder

    console = console_for(json)
    if launcher not in LAUNCHERS:
        raise InputError(f"--launcher is {launcher!r}, expected one of {', '.join(LAUNCHERS)}")
    if launcher == "slurm" and workers is None:
        raise InputError("--launcher slurm without --workers, expected how many tasks to submit")
    if sbatch and launcher != "slurm":
        raise InputError("--sbatch is given without --launcher slurm")

    def train(planned):
        if launcher == "none":
            return run_ladder(console, planned, store, checkpoints, save_every, log or [])
        start = launcher_of(launcher, console, planned, workers, store.beside("slurm"), shlex.split(sbatch))
        return launch(console, planned, store, checkpoints, save_every, start, log or [])

    if budget:
        from laimbench.cli.designed import base_values, design_sweep

        values = base_values(ladder, family=family, data=data, device=device)
        document, failures = design_sweep(
            console, train, store, budget=budget, question=question, values=values, dry_run=dry_run
        )
        emit_json(document, json)
        raise_failures(failures)
        return
    if ladder is None:
        raise InputError("no ladder, expected a TOML file, or --budget to have the runs chosen")
    if family or data:
        raise InputError("--family and --data are given without --budget, expected them in the ladder's file")
    planned = load_ladder(ladder, device)
    if dry_run:
        plans = []
        for plan in plan_ladder(planned, measure=measure):
            plans.append(plan)
        print_plan(console, plans)
        emit_json([plan.to_dict() for plan in plans], json)
        return
    outcome = train(planned)
    emit_json({"store": str(store), "trained": outcome.trained, "skipped": outcome.skipped,
               "failures": outcome.failures}, json)  # fmt: skip
    raise_failures(outcome.failures)


def run_ladder(
    console: Console,
    ladder,
    store: StoreAddress | Path,
    checkpoints: Path | None = None,
    save_every_s: float = EVERY_S,
    log: Sequence[str] = (),
):
    """Train a ladder into a store with progress on the console; return the outcome."""
    from laimbench.cli.progress import SweepProgress
    from laimbench.ladder import plan_ladder, sweep
    from laimbench.ladder.logs import Logs, open_writers
    from laimbench.store import Store

    writers = open_writers(log, ladder.name)
    with Store(store) as opened:
        total = sum(plan.flops for plan in plan_ladder(ladder, measure=False))
        with SweepProgress(console, total, Logs(opened, writers, console.print).look) as progress:
            outcome = sweep(ladder, opened, listener=progress, checkpoints=checkpoints, save_every_s=save_every_s)
    tell(console, outcome, store)
    return outcome


def launcher_of(
    name: str, console: Console, ladder, workers: int | None, folder: Path, sbatch: list[str]
) -> Callable[..., Any]:
    """Return a function of a job and ``look`` that trains a ladder by processes; it says how many there are."""
    from laimbench.ladder import launch_local, plan_ladder
    from laimbench.ladder.launcher import workers_that_fit
    from laimbench.train.device import VISIBLE, memories, visible_gpus

    cores = len(usable_cores())
    if name == "slurm":
        from laimbench.ladder.slurm_launcher import launch_slurm

        console.print(f"{workers} tasks of Slurm; their output is in {folder}")
        return lambda job, look: launch_slurm(job, workers, folder, sbatch, look=look)
    if name == "ray":
        from laimbench.ladder.ray_launcher import launch_ray

        return lambda job, look: launch_ray(job, workers, look=look)
    places = memories(ladder.device)
    gpus = visible_gpus(len(places), os.environ.get(VISIBLE)) if ladder.device else ()
    fitting = workers_that_fit(plan_ladder(ladder, measure=False), workers or len(gpus) or cores, places)
    threads = max(1, cores // fitting)
    where = f" on {len(gpus)} GPUs" if gpus else ""
    console.print(f"{fitting} processes of {threads} thread{'s' * (threads > 1)}{where}")
    return lambda job, look: launch_local(replace(job, threads=threads), fitting, gpus=gpus, look=look)


def launch(
    console: Console,
    ladder,
    store: StoreAddress | Path,
    checkpoints: Path | None,
    save_every_s: float,
    start: Callable[..., Any],
    log: Sequence[str] = (),
):
    """Train a ladder by several processes, with a line for each run that ends; return the outcome."""
    from laimbench.cli.watch import Following
    from laimbench.ladder import Job
    from laimbench.ladder.interrupt import Interrupt
    from laimbench.ladder.logs import Logs, open_writers
    from laimbench.store import Store

    writers = open_writers(log, ladder.name)
    with Store(store) as opened, Interrupt() as interrupt:
        following, logs = Following(opened, told=opened.statuses()), Logs(opened, writers, console.print)

        def look() -> None:
            for event in following.news():
                logs.look(event["key"])
                if event["event"] in ("done", "failed"):
                    console.print(following.line(event))
            interrupt.check()

        job = Job(
            ladder, store.resolve(), 1, checkpoints=checkpoints and checkpoints.resolve(), save_every_s=save_every_s
        )
        outcome = start(job, look)
        look()
    tell(console, outcome, store)
    return outcome


def tell(console: Console, outcome, store: StoreAddress | Path) -> None:
    elsewhere = f"{outcome.elsewhere} by other processes, " if outcome.elsewhere else ""
    console.print(
        f"{outcome.trained} runs trained, {elsewhere}{outcome.skipped} done before, {len(outcome.failures)} failed: {store}"
    )


def raise_failures(failures: list[str]) -> None:
    from laimbench.errors import RunError

    if failures:
        raise RunError(f"{len(failures)} of the runs failed, first: {failures[0]}")


def print_plan(console: Console, plans) -> None:
    """One row for the runs that differ in their seed only."""
    table = Table(title="Planned runs (FLOPs exact; minutes from steps timed here)")
    columns = ("size", "backend", "dtype", "runs", "parameters", "non-embedding", "tokens", "FLOPs", "minutes")
    for column in columns:
        table.add_column(column, justify="left" if column in ("size", "backend", "dtype") else "right")
    rows: dict[tuple, list] = {}
    for plan in plans:
        rows.setdefault((plan.config.size, plan.config.backend, plan.config.dtype, plan.tokens), []).append(plan)
    for (size, backend, dtype, tokens), same in rows.items():
        table.add_row(size, backend, dtype, str(len(same)), f"{same[0].params:,}", f"{same[0].params_non_embedding:,}",
                      f"{tokens:,}", f"{same[0].flops:.3g}", minutes_of(same))  # fmt: skip
    console.print(table)
    console.print(f"{len(plans)} runs, {sum(p.flops for p in plans):.3g} FLOPs, expected minutes: {minutes_of(plans)}")


def minutes_of(plans) -> str:
    if any(plan.seconds is None for plan in plans):
        return "not measured" if all(plan.seconds is None for plan in plans) else "not all measured"
    return f"{sum(plan.seconds for plan in plans) / 60:.2f}"
