"""``laimbench eval``: what a trained model is worth on held-out data."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.stores import store_option
from laimbench.store_address import StoreAddress


def eval(
    checkpoint: Annotated[Path, typer.Argument(help="A folder by `laimbench train --out`.", metavar="CHECKPOINT")],
    data: Annotated[str, typer.Option(help="Another source of the same kind; by default the run's own.")] = "",
    backend: Annotated[
        str | None, typer.Option(help="laim, torch, compile or laim+compile; by default the run's.")
    ] = None,
    items: Annotated[int, typer.Option(help="Held-out items at most; 0: 5,000.", min=0)] = 0,
    eval_tokens: Annotated[int, typer.Option(help="Of text: held-out tokens at most; 0: 262,144.", min=0)] = 0,
    compare: Annotated[
        str, typer.Option(help="Against a baseline on the same items: ngram (gpt) or bag (bert that classifies).")
    ] = "",
    store: Annotated[StoreAddress | None, store_option("Also keep the result in this store, for its report")] = None,
    json: JsonOption = None,
) -> None:
    """Evaluate a trained model on held-out data, every figure with its 95 % interval."""
    from laimbench.evaluate.run import evaluate
    from laimbench.evaluate.section import DOCUMENT_KIND
    from laimbench.store import Store

    console = console_for(json)
    document = evaluate(checkpoint, data=data, backend=backend, items=items, eval_tokens=eval_tokens, compare=compare)
    show(console, document)
    if store is not None:
        with Store(store) as opened:
            opened.save_document(DOCUMENT_KIND, document)
    emit_json(document, json)


def show(console: Console, document: dict[str, Any]) -> None:
    """Print the figures, then what the kind of model has beside them."""
    config = document["config"]
    title = f"{document['checkpoint']}: {config['family']} on {document['data']}, {document['items']:,} held-out {document['unit']}"
    console.print(_figures(title, document["figures"]))
    for comparison in document["comparisons"]:
        about = f"{comparison['baseline']}, trained on {comparison['trained_on']}"
        console.print(_figures(about, comparison["figures"]))
    details = document["details"]
    if "loss_by_position" in details:
        console.print(_positions(**details["loss_by_position"]))
    if "per_class" in details:
        console.print(_classes(details["per_class"]))
    for note in document["notes"]:
        console.print(escape(f"note: {note}"))


def _table(title: str, *columns: str) -> Table:
    shown = Table(title=escape(title))
    for i, column in enumerate(columns):
        shown.add_column(column, justify="right" if i else "left", overflow="fold")
    return shown


def _figures(title: str, figures: list[dict[str, Any]]) -> Table:
    from laimbench.evaluate.section import interval_text

    shown = _table(title, "figure", "value", "95 %", "unit")
    for one in figures:
        shown.add_row(escape(one["name"]), f"{one['value']:.4f}", interval_text(one), one["unit"])
    return shown


def _positions(loss: list[float], standard_error: list[float]) -> Table:
    shown = _table("Loss by position in the window", "tokens before", "loss", "standard error")
    before = 1
    while before <= len(loss):
        shown.add_row(str(before), f"{loss[before - 1]:.4f}", f"{standard_error[before - 1]:.4f}")
        before *= 2
    return shown


def _classes(rows: list[dict[str, Any]]) -> Table:
    shown = _table("By class", "class", "items", "precision", "recall", "F1")
    for row in rows:
        numbers = ("" if row[key] is None else f"{row[key]:.4f}" for key in ("precision", "recall", "f1"))
        shown.add_row(escape(row["class"]), str(row["items"]), *numbers)
    return shown
