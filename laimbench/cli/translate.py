"""``laimbench translate``: one text from another."""

from typing import Annotated

import typer
from rich.markup import escape

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.using import CheckpointArgument, opened, with_input


def translate(
    checkpoint: CheckpointArgument,
    texts: Annotated[list[str], typer.Argument(help="Texts; - reads one from standard input.", metavar="TEXT...")],
    beams: Annotated[int, typer.Option(help="Of beam search; 1 is greedy.")] = 4,
    json: JsonOption = None,
) -> None:
    """Write the targets of texts by a trained transformer, one a line."""
    from laimbench.deploy import Translator

    console = console_for(json)
    # A line on standard input ends in a newline that belongs to no text.
    sources = [text.strip() for text in with_input(texts)]
    targets = opened(checkpoint, Translator).translate(sources, beams)
    for target in targets:
        console.print(escape(target), soft_wrap=True)
    pairs = [{"source": source, "target": target} for source, target in zip(sources, targets, strict=True)]
    emit_json({"checkpoint": str(checkpoint), "beams": beams, "translations": pairs}, json)
