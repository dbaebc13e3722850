"""``laimbench report``: the answer of a store, as a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.stores import store_argument
from laimbench.store_address import RUNS, StoreAddress

if TYPE_CHECKING:
    from laimbench.store import Store


def report(
    store: Annotated[StoreAddress, store_argument()] = RUNS,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report/index.html"),
    json: JsonOption = None,
) -> None:
    """Write one self-contained HTML page: faster? learning the same? worth how much?"""
    answers = make_report(console_for(json), store, out)
    emit_json({"page": str(out), "answers": [one.to_dict() for one in answers]}, json)


def make_report(console: Console, store: StoreAddress | Path, out: Path):
    """Write the page, print the answer; return it."""
    from laimbench.files import write_atomically
    from laimbench.store import Store

    with Store(store, must_exist=True) as opened:
        answers, page = render_store(opened)
    write_atomically(out, page)
    for one in answers:
        for line in one.lines():
            console.print(line, soft_wrap=True)
    console.print(f"report: {out}", soft_wrap=True)
    return answers


def render_store(store: "Store", live: str = ""):
    """Return the answers and the page of an open store.

    ``live``: of a page that asks its server for news, the version that it shows; such a page may wait for its first run.

    Raises:
        InputError: the store holds neither runs nor documents of other rooms, and the page is not live.
    """
    from laimbench.errors import InputError
    from laimbench.evaluate.section import DOCUMENT_KIND as EVALUATION
    from laimbench.evaluate.section import evaluation_section
    from laimbench.report import answer, render_page
    from laimbench.responsible.section import DOCUMENT_KIND as RESPONSIBLE
    from laimbench.responsible.section import responsible_section
    from laimbench.track.section import DOCUMENT_KIND as TRACK
    from laimbench.track.section import track_section

    runs = store.runs()
    metrics = {run.id: store.metrics(run.id) for run in runs}
    benches = store.documents("bench")
    sections = "\n".join([
        track_section(store.documents(TRACK)),
        evaluation_section(store.documents(EVALUATION)),
        responsible_section(store.documents(RESPONSIBLE), runs),
    ])  # fmt: skip
    try:
        answers = answer(runs) if runs or not (live or sections.strip()) else []
    except InputError as error:
        raise InputError(f"store {store.address}: {error}") from None
    bench = benches[-1] if benches else None
    return answers, render_page(answers, runs, metrics, bench, str(store.address), sections, live)
