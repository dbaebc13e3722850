"""What the verbs that use a checkpoint share: its argument, items from standard input, text that a terminal can take."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from laimbench.errors import InputError

CheckpointArgument = Annotated[
    Path, typer.Argument(help="Folder that `laimbench train --out` wrote.", metavar="CHECKPOINT")
]


def opened(checkpoint: Path, use: Callable[[Any], Any]) -> Any:
    """Return ``use`` (a class of laimbench.deploy) of the checkpoint in this folder."""
    from laimbench.train import load_checkpoint

    return use(load_checkpoint(checkpoint))


def with_input(texts: list[str]) -> list[str]:
    """Return the texts, "-" replaced by all of standard input.

    Raises:
        InputError: no texts, or standard input that is not UTF-8.
    """
    if not texts:
        raise InputError("nothing to work on, expected one or more arguments (- reads standard input)")
    if texts.count("-") > 1:
        raise InputError("- is given more than once, expected standard input to be read once")
    return [_standard_input() if text == "-" else text for text in texts]


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise InputError(f"standard input: not UTF-8 at byte {error.start}") from None


def harmless(text: str) -> str:
    """Return the text with control characters made visible: a model may say what a terminal would obey."""
    return "".join(
        c if c in "\n\t" or c.isprintable() or (c.isspace() and c > "\x9f") else f"\\x{ord(c):02x}" for c in text
    )


def note(console: Console, item: str, message: str) -> None:
    """Print a note about an item, where there is one."""
    if message:
        console.print(escape(f"note: {item}: {message}"), soft_wrap=True)
