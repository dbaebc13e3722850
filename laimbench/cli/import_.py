"""``laimbench import``: a model of others as a checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from laimbench.cli.output import JsonOption, console_for, emit_json


def import_(
    folder: Annotated[Path, typer.Argument(help="With config.json and model.safetensors.", metavar="FOLDER")],
    out: Annotated[Path, typer.Argument(help="The new checkpoint, a folder.", metavar="OUT")],
    json: JsonOption = None,
) -> None:
    """Make a checkpoint of a GPT-2, Llama or BERT in transformers' layout."""
    from laimbench.deploy.export import import_transformers

    console = console_for(json)
    found = import_transformers(folder, out)
    for note in found.notes:
        console.print(f"note: {note}")
    parameters = sum(p.numel() for p in found.model.parameters())
    console.print(f"{out}: {found.architecture}, {parameters:,} parameters")
    shape = {"architecture": found.architecture, "parameters": parameters, "notes": list(found.notes)}
    emit_json({"out": str(out), **shape, "config": found.config.to_dict()}, json)
