"""``laimbench classify``: what images, sounds and texts are."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.using import CheckpointArgument, harmless, note, opened, with_input

SHOWN = 60  # characters of an item


def classify(
    checkpoint: CheckpointArgument,
    items: Annotated[
        list[str],
        typer.Argument(
            help="Image or wav files, builtin:digits:N, or texts (- reads one from standard input).", metavar="ITEM..."
        ),
    ],
    top: Annotated[int, typer.Option(help="So many of the likeliest classes.")] = 3,
    json: JsonOption = None,
) -> None:
    """Tell the classes of items by a trained mlp, vit, audio or bert, with probabilities."""
    from laimbench.deploy import Classifier

    console = console_for(json)
    found = opened(checkpoint, Classifier).classify(with_input(items), top)
    shown = Table()
    shown.add_column("item", overflow="fold")
    for _ in found[0].classes:
        shown.add_column("class")
        shown.add_column("probability", justify="right")
    for one in found:
        item = harmless(one.item[:SHOWN]) + ("…" if len(one.item) > SHOWN else "")
        cells = [cell for name, p in one.classes for cell in (escape(name), f"{p:.3f}")]
        shown.add_row(escape(item), *cells)
    console.print(shown)
    for one in found:
        note(console, one.item[:SHOWN], one.note)
    results = [{**asdict(one), "classes": [{"class": c, "probability": p} for c, p in one.classes]} for one in found]
    emit_json({"checkpoint": str(checkpoint), "items": results}, json)
