"""``laimbench runs``: what the store holds."""

import csv
import io
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.stores import store_argument, store_option
from laimbench.errors import InputError
from laimbench.files import write_atomically
from laimbench.store_address import RUNS, StoreAddress

app = typer.Typer(help="List, show and export the runs of a store.", no_args_is_help=True)
StoreArgument = Annotated[StoreAddress, store_argument()]
FORMATS = ("csv", "json", "parquet")


@app.command("list")
def list_runs(store: StoreArgument = RUNS, json: JsonOption = None) -> None:
    """One line per run."""
    from laimbench.store import Store

    with Store(store, must_exist=True) as opened:
        runs = opened.runs()
    table = Table(title=f"{len(runs)} runs in {store}")
    for column in (
        "id",
        "sweep",
        "size",
        "backend",
        "dtype",
        "seed",
        "tokens",
        "FLOPs",
        "val loss",
        "seconds",
        "status",
    ):
        table.add_column(
            column, justify="left" if column in ("sweep", "size", "backend", "dtype", "status") else "right"
        )
    for run in runs:
        table.add_row(str(run.id), run.sweep, run.size, run.backend, run.dtype, str(run.seed), f"{run.tokens:,}",
                      f"{run.flops:.3g}", number(run.final_val_loss, ".4f"), number(run.train_s, ".1f"),
                      run.status)  # fmt: skip
    console_for(json).print(table)
    emit_json([run.to_dict() for run in runs], json)


@app.command("show")
def show_run(
    run: Annotated[str, typer.Argument(help="A run's id, or the beginning of its key.")],
    store: Annotated[StoreAddress, store_option("The store")] = RUNS,
    json: JsonOption = None,
) -> None:
    """One run with its configuration and evaluations."""
    from laimbench.store import Store

    with Store(store, must_exist=True) as opened:
        found = [row for row in opened.runs() if str(row.id) == run or (len(run) >= 6 and row.key.startswith(run))]
        if len(found) != 1:
            raise InputError(f"{store}: {len(found)} runs match {run!r}, expected one; see `laimbench runs list`")
        metrics = opened.metrics(found[0].id)
    console = console_for(json)
    for name, value in found[0].to_dict().items():
        console.print(f"{name:22} {value}")
    table = Table()
    for column in ("step", "tokens", "FLOPs", "seconds", "train loss", "val loss", "tokens/s"):
        table.add_column(column, justify="right")
    for row in metrics:
        table.add_row(str(row.step), f"{row.tokens:,}", f"{row.flops:.3g}", f"{row.train_s:.2f}",
                      number(row.train_loss, ".4f"), number(row.val_loss, ".4f"), number(row.tokens_per_s, ",.0f"))  # fmt: skip
    console.print(table)
    emit_json({**found[0].to_dict(), "metrics": [row.to_dict() for row in metrics]}, json)


@app.command("export")
def export_runs(
    store: StoreArgument = RUNS,
    out: Annotated[str, typer.Option("--out", metavar="PATH|-", help="Where to; '-' is standard output.")] = "-",
    format: Annotated[str, typer.Option(help="csv, json or parquet (needs pyarrow).")] = "csv",
    metrics: Annotated[bool, typer.Option("--metrics", help="One row per evaluation instead of per run.")] = False,
) -> None:
    """Write the runs as a table: one row per run, or per evaluation."""
    from laimbench.store import Store

    if format not in FORMATS:
        raise InputError(f"--format is {format!r}, expected one of {', '.join(FORMATS)}")
    with Store(store, must_exist=True) as opened:
        rows = []
        for run in opened.runs():
            facts = flat(run.to_dict())
            rows += [{**facts, **m.to_dict()} for m in opened.metrics(run.id)] if metrics else [facts]
    content = encode(rows, format)
    if out != "-":
        write_atomically(Path(out), content)
    elif isinstance(content, str):
        typer.echo(content, nl=False)
    else:
        raise InputError("--format parquet needs --out PATH")


@app.command("merge")
def merge_runs(
    store: Annotated[StoreAddress, store_argument("The store to merge into, made when missing")],
    sources: Annotated[list[StoreAddress], store_argument("Stores to take runs from")],
    json: JsonOption = None,
) -> None:
    """Bring the runs of other stores into one, each once: what decides a run is its identity."""
    from laimbench.store import Store
    from laimbench.store.merge import merge

    console, counts = console_for(json), {}
    with Store(store) as into:
        for address in sources:
            with Store(address, must_exist=True) as source:
                merged = merge(into, source)
            counts[str(address)] = merged.to_dict()
            console.print(
                f"{address}: {merged.added} runs added, {merged.replaced} replaced, {merged.known} there already, "
                f"{merged.unfinished} unfinished left there, {merged.documents} documents added"
            )
    emit_json(counts, json)


def flat(run: dict[str, Any]) -> dict[str, Any]:
    """Turn nested values into columns: config.width, machine.isa, summary.accuracy."""
    row = {}
    for name, value in run.items():
        row.update({f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value})
    return row


def encode(rows: list[dict[str, Any]], format: str) -> str | bytes:
    if format == "json":
        import json

        return json.dumps(rows, indent=2, allow_nan=False) + "\n"
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if format == "parquet":
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise InputError("--format parquet needs the package pyarrow: pip install pyarrow") from None
        sink = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table({c: [row.get(c) for row in rows] for c in columns}), sink)
        return sink.getvalue()
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
