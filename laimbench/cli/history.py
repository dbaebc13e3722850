"""``laimbench history``: what asv measured of a repository's commits, as a page."""

from pathlib import Path
from typing import Annotated

import typer

from laimbench.cli.output import JsonOption, console_for, emit_json


def history(
    results: Annotated[Path, typer.Argument(help="asv's results_dir.")] = Path(".asv/results"),
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report/history.html"),
    repository: Annotated[
        Path, typer.Option("--repository", "-C", help="Of the commits, for their subjects.")
    ] = Path(),
    machine: Annotated[str, typer.Option(help="By default the one with most commits.")] = "",
    json: JsonOption = None,
) -> None:
    """Write one self-contained HTML page of asv's results: loss against compute by commit, and every benchmark over commits."""
    from laimbench.files import write_atomically
    from laimbench.report.history_page import render_history, sentence
    from laimbench.track.history import read_history
    from laimbench.track.multiplier import Multiplier

    found = read_history(results, repository, machine)
    multipliers = found.multipliers()
    write_atomically(out, render_history(found, str(results)))
    console = console_for(json)
    console.print(sentence(found, multipliers), soft_wrap=True, markup=False)
    console.print(f"history: {out}", soft_wrap=True, markup=False)
    commits = [
        {"commit": commit.hash, "date": commit.date, "subject": commit.subject,
         "multiplier": one.to_dict() if isinstance(one, Multiplier) else None}
        for commit, one in zip(found.commits, multipliers or [None] * len(found.commits), strict=True)
    ]  # fmt: skip
    emit_json({"page": str(out), "machine": found.machine, "commits": commits}, json)
