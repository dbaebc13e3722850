"""``laimbench watch``: follow a sweep from another shell."""

import json
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from laimbench.cli.runs import number
from laimbench.cli.stores import store_argument
from laimbench.store_address import RUNS, StoreAddress

LOOK_S = 1.0


class Following:
    """What happened in a store since the last look. told: statuses of runs that need not be told (again)."""

    def __init__(self, store, told: dict[str, tuple[str, str]] | None = None):
        self._store = store
        self._told: dict[str, tuple] = {key: (started, status, None) for key, (status, started) in (told or {}).items()}

    def news(self) -> list[dict[str, Any]]:
        """Return an event for each run that was begun, evaluated, done or failed: the run with its last evaluation."""
        events = []
        for run in self._store.runs():
            now = run.started_at, run.status, run.train_s
            before = self._told.get(run.key)
            if before == now or (before is not None and run.status != "running" and before[:2] == now[:2]):
                continue
            if run.status != "running":
                event = run.status
            else:
                event = "begun" if before is None or before[0] != run.started_at else "evaluated"
            self._told[run.key] = now
            events.append({"event": event, "sweep": run.sweep, "key": run.key, "family": run.family, "size": run.size,
                           "backend": run.backend, "dtype": run.dtype, "seed": run.seed, "tokens": run.tokens,
                           "train_s": run.train_s, "train_loss": run.final_train_loss, "val_loss": run.final_val_loss,
                           "error": run.error})  # fmt: skip
        return events

    @staticmethod
    def line(event: dict[str, Any]) -> str:
        """Return an event as a line for people."""
        name = f"{event['size']} {event['tokens'] / 1e3:.0f}k {event['dtype']} seed {event['seed']} {event['backend']}"
        if event["event"] == "failed":
            return f"{name}: failed: {event['error']}"
        return f"{name}: {event['event']}, val loss {number(event['val_loss'], '.4f')}"


def watch(
    store: Annotated[StoreAddress, store_argument("The store that a sweep writes to")] = RUNS,
    once: Annotated[bool, typer.Option("--once", help="Look once, do not wait for more.")] = False,
) -> None:
    """Follow a sweep from another shell: a live table in a terminal, elsewhere a line of JSON per event. Ends when nobody is at work."""
    from laimbench.store import Store
    from laimbench.store.leases import leases_of

    console = Console(highlight=False)
    with Store(store, must_exist=True) as opened:
        following = Following(opened)
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while True:
                leases = leases_of(opened)
                if console.is_terminal:
                    live.update(table(opened.runs(), leases, store), refresh=True)
                else:
                    for event in following.news():
                        typer.echo(json.dumps(event, allow_nan=False))
                if once or not any(lease.alive for lease in leases.values()):
                    return
                time.sleep(LOOK_S)


def table(runs: list, leases: dict, store: StoreAddress) -> Table:
    """Return the runs at work with how far they are, under a title that counts all."""
    counts = {status: sum(run.status == status for run in runs) for status in ("done", "failed", "running")}
    title = (
        f"{store}: {counts['done']} done, {counts['failed']} failed, {counts['running']} at work or to be gone on with"
    )
    shown = Table(title=title)
    for column in ("run", "backend", "seed", "step", "train loss", "val loss", "seconds", "state"):
        shown.add_column(column, justify="left" if column in ("run", "backend", "state") else "right")
    for run in (run for run in runs if run.status == "running"):
        lease = leases.get(run.key)
        state = "stopped" if lease is None else "at work" if lease.alive else "died"
        shown.add_row(f"{run.family} {run.size}", run.backend, str(run.seed), "" if lease is None else f"{lease.reached:,}",
                      number(run.final_train_loss, ".4f"), number(run.final_val_loss, ".4f"), number(run.train_s, ".1f"),
                      state)  # fmt: skip
    return shown
