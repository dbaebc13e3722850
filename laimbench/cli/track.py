"""``laimbench track``: whether a commit is slower, learns worse, and what both are worth together."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.stores import store_option
from laimbench.errors import InputError
from laimbench.store_address import StoreAddress


def track(
    a: Annotated[str, typer.Argument(help="Commit, folder with a built package, or store: what is compared with.")],
    b: Annotated[str, typer.Argument(help="The same, of what is judged; '.' is the working tree.")] = ".",
    repository: Annotated[Path, typer.Option("--repository", "-C", help="Of the commits.")] = Path(),
    suite: Annotated[
        Path | None, typer.Option(help="What to compare; by default laimbench_track.py of the repository.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this benchmark, by its name without speed_ or learn_; repeatable.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The suite's QUICK_SIZES in place of its SIZES.")] = False,
    bisect: Annotated[
        bool, typer.Option("--bisect", help="A is fine, B is not: find the first commit between them that is not.")
    ] = False,
    alpha: Annotated[float, typer.Option(help="Probability of a false word, for speed and for learning each.")] = 0.01,
    slowdown: Annotated[float, typer.Option(help="Relative change of time to be told from none.")] = 0.02,
    spreads: Annotated[float, typer.Option(help="Change of loss to be told from none, in seed spreads.")] = 1.0,
    rounds: Annotated[int, typer.Option(help="Rounds of timing at most.")] = 40,
    seeds: Annotated[int, typer.Option(help="Seeds at most.")] = 12,
    threads: Annotated[int, typer.Option(help="Threads of each side.")] = 1,
    isolation: Annotated[
        bool,
        typer.Option("--build-isolation/--no-build-isolation", help="Whether pip builds in an environment of its own."),
    ] = True,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="The commit means to compute something else: judge its losses only.")
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write the verdict as Markdown, for a pull request.")
    ] = None,
    store: Annotated[
        StoreAddress | None, store_option("Also keep the comparison in this store, for its report")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Compare two commits: faster or slower, learning better or worse, and the effective compute multiplier.

    Exit codes: 0 nothing is worse, 3 slower, worse or changed, 4 undecided within the rounds and seeds allowed.
    """
    from laimbench import provenance
    from laimbench.store import Store
    from laimbench.track import bisect as search
    from laimbench.track.builds import build
    from laimbench.track.compare import SUITE, Settings, compare
    from laimbench.track.section import DOCUMENT_KIND
    from laimbench.track.stores import compare_stores
    from laimbench.track.verdict import document, exit_code

    settings = Settings(alpha=alpha, slowdown=slowdown, spreads=spreads, rounds=rounds, seeds=seeds, quick=quick,
                        only=tuple(only or ()), threads=threads)  # fmt: skip
    console = console_for(json)
    file = suite or repository / SUITE
    if bisect:
        found = search.bisect(repository, a, b, file, settings, heard=lambda line: console.print(escape(line)),
                              built=partial(build, isolation=isolation))  # fmt: skip
        console.print(escape(found.sentence()), soft_wrap=True)
        emit_json(found.to_dict(), json)
        return
    stores = [StoreAddress.of(name) for name in (a, b)]
    if all(store.is_store() for store in stores):
        found = compare_stores(*stores, settings)
    elif any(store.is_url for store in stores):
        raise InputError(f"{' and '.join(map(str, stores))}: one is a store, expected both to be")
    else:
        sides = [side_of(repository, name, console, isolation) for name in (a, b)]
        with console.status("measuring …") as status:
            found = compare(*sides, file, settings, Progress(status))
    show(console, found, markdown)
    told = document(found, provenance.collect())
    if store is not None:
        with Store(store) as opened:
            opened.save_document(DOCUMENT_KIND, told)
    emit_json(told, json)
    raise typer.Exit(exit_code(found, allow_changes=allow_changes))


def side_of(repository: Path, name: str, console: Console, isolation: bool) -> Any:
    """Return the side that a folder or a commit stands for; a commit is built if need be."""
    from laimbench.track.builds import WORKING_TREE, build
    from laimbench.track.process import Side

    if name != WORKING_TREE and Path(name).is_dir():
        return Side(name, Path(name).resolve())
    with console.status(escape(f"building {name} …")):
        return build(repository, name, isolation=isolation)


class Progress:
    """Keeps the status line of a running comparison."""

    def __init__(self, status: Any):
        self.status = status

    def timed(self, timings: list) -> None:
        open_ones = sum(not timing.decision.word for timing in timings)
        rounds = max(timing.decision.observations for timing in timings)
        self.status.update(f"timing: round {rounds}, {open_ones} of {len(timings)} benchmarks undecided …")

    def learned(self, learning: Any) -> None:
        self.status.update(escape(f"{learning.name}: {learning.decision.observations} seeds trained …"))


def show(console: Console, found: Any, markdown: Path | None) -> None:
    from laimbench.files import write_atomically
    from laimbench.track import verdict

    titles = ("time of {1} over time of {0}", "loss of {1} less loss of {0}")
    parts = ((verdict.SPEED, verdict.speed_rows(found)), (verdict.LEARNING, verdict.learning_rows(found)))
    for title, (columns, rows) in zip(titles, parts, strict=True):
        if not rows:
            continue
        table = Table(title=escape(title.format(*found.labels)))
        for column in columns:
            table.add_column(column, justify="left" if column in verdict.TEXT else "right")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    console.print(escape(verdict.sentence(found)), soft_wrap=True)
    if markdown is not None:
        write_atomically(markdown, verdict.markdown(found))
