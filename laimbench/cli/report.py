"""``laimbench report``: the answer of a store, as a page."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from laimbench.cli.output import JsonOption, console_for, emit_json


def report(
    store: Annotated[Path, typer.Argument(help="The store.")] = Path("runs.sqlite"),
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report/index.html"),
    json: JsonOption = None,
) -> None:
    """Write one self-contained HTML page: faster? learning the same? worth how much?"""
    answers = make_report(console_for(json), store, out)
    emit_json({"page": str(out), "answers": [one.to_dict() for one in answers]}, json)


def make_report(console: Console, store: Path, out: Path):
    """Write the page, print the answer; return it."""
    from laimbench.errors import InputError
    from laimbench.evaluate.section import DOCUMENT_KIND as EVALUATION
    from laimbench.evaluate.section import evaluation_section
    from laimbench.report import answer, write_page
    from laimbench.responsible.section import DOCUMENT_KIND, responsible_section
    from laimbench.store import Store

    with Store(store, must_exist=True) as opened:
        runs = opened.runs()
        metrics = {run.id: opened.metrics(run.id) for run in runs}
        benches = opened.documents("bench")
        evaluations = opened.documents(EVALUATION)
        audits = opened.documents(DOCUMENT_KIND)
    try:
        answers = answer(runs)
    except InputError as error:
        raise InputError(f"store {store}: {error}") from None
    sections = evaluation_section(evaluations) + responsible_section(audits, runs)
    write_page(out, answers, runs, metrics, benches[-1] if benches else None, str(store), sections)
    for one in answers:
        for line in one.lines():
            console.print(line, soft_wrap=True)
    console.print(f"report: {out}", soft_wrap=True)
    return answers
