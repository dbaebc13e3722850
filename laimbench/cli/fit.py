"""``laimbench fit``: a law from a store or a table."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.errors import InputError

SQLITE_MAGIC = b"SQLite format 3\0"


def fit(
    source: Annotated[Path, typer.Argument(help="A store, or a table: CSV, JSON lines, Parquet.")],
    form: Annotated[str, typer.Option(help="chinchilla: L(N, D); power: L(C).")] = "chinchilla",
    columns: Annotated[str, typer.Option(help="Our names = the table's, for example params=N,tokens=D,loss=val.")] = "",
    where: Annotated[
        str, typer.Option(help="Rows to use: column=value,...; of a store for example backend=laim.")
    ] = "",
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples for the intervals.")] = 400,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    json: JsonOption = None,
) -> None:
    """Fit a scaling law with bootstrap intervals: Huber loss (1e-3) of log residuals, many starts.

    Tokens, parameters or FLOPs that a table lacks follow from FLOPs = 6 N D. A store gives the last validation loss of every
    finished run, with FLOPs counted exactly.
    """
    from laimbench import laws

    get_form = laws.get_form(form)
    filters = pairs(where, "--where")
    if is_store(source):
        runs = runs_of_store(source, filters)
    else:
        runs = laws.read_table(source, pairs(columns, "--columns"), filters).runs()
    try:
        found = laws.fit_runs(runs, get_form, bootstrap=bootstrap, seed=seed)
    except InputError as error:
        raise InputError(f"{source}: {error}; name columns by --columns") from None

    console = console_for(json)
    console.print(f"{found.form.equation}, {found.rows} runs of {source}")
    table = Table()
    for column in ("parameter", "value", "95 % interval"):
        table.add_column(column, justify="left" if column == "parameter" else "right")
    for name, value in found.params.items():
        low, high = found.intervals.get(name, (None, None))
        table.add_row(name, f"{value:.6g}", "" if low is None else f"{low:.4g} to {high:.4g}")
    console.print(table)
    console.print(
        f"sum of Huber losses {found.objective:.9e}; {found.verdict.agreeing:.0%} of {found.verdict.starts} starts agree"
    )
    for warning in found.warnings:
        console.print(f"warning: {warning}")
    emit_json(
        {
            "source": str(source),
            "where": filters,
            **found.to_dict(),
            # what `laimbench plan` needs for intervals and for saying how far it extrapolates
            "domain": {
                name: [min(runs[name]), max(runs[name])] for name in ("params", "tokens", "flops") if name in runs
            },
            "draws": {name: draws.tolist() for name, draws in found.form.values(found.samples).items()},
        },
        json,
    )


def is_store(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError:
        return False


def runs_of_store(path: Path, filters: dict[str, str]) -> dict[str, Any]:
    from laimbench.store import RunRow, Store

    names = RunRow.__dataclass_fields__
    for name in filters:
        if name not in names:
            raise InputError(f"--where names {name!r}, expected one of {', '.join(names)}")
    with Store(path, must_exist=True) as store:
        runs = [run for run in store.runs(status="done") if run.final_val_loss is not None]
    runs = [run for run in runs if all(str(getattr(run, name)) == value for name, value in filters.items())]
    if not runs:
        raise InputError(f"store {path}: no finished run fits, expected some; see `laimbench runs list`")
    return {
        "params": [run.params for run in runs],
        "tokens": [run.tokens for run in runs],
        "flops": [run.flops for run in runs],
        "loss": [run.final_val_loss for run in runs],
    }


def pairs(text: str, option: str) -> dict[str, str]:
    """Parse ``a=b,c=d``."""
    found = {}
    for part in filter(None, text.split(",")):
        name, separator, value = part.partition("=")
        if not separator or not name or not value:
            raise InputError(f"{option} has {part!r}, expected name=value")
        found[name.strip()] = value.strip()
    return found
