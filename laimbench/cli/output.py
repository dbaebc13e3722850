"""What all verbs share about output: people read the console, programs read ``--json PATH|-``."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from laimbench.files import write_atomically

PLAIN_WIDTH = 160  # columns where there is no terminal to ask

JsonOption = Annotated[
    str | None,
    typer.Option(
        "--json", metavar="PATH|-", help="Also write the result as JSON to PATH, or to standard output with '-'."
    ),
]


def console_for(json_target: str | None) -> Console:
    """Return where text for people goes: standard error when standard output carries the JSON."""
    to_stderr = json_target == "-"
    console = Console(stderr=to_stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=to_stderr, highlight=False, width=PLAIN_WIDTH)


def emit_json(document: Any, json_target: str | None) -> None:
    """Write the document where ``--json`` asked for it (nothing when it was not given)."""
    if json_target is None:
        return
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    if json_target == "-":
        sys.stdout.write(text)
    else:
        write_atomically(Path(json_target), text)
