"""``laimbench transcribe``: what is said in wav files."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.using import CheckpointArgument, note, opened


def transcribe(
    checkpoint: CheckpointArgument,
    files: Annotated[list[str], typer.Argument(help="PCM wav files.", metavar="WAV...")],
    json: JsonOption = None,
) -> None:
    """Write down speech by an audio model trained with transcripts, a file a line."""
    from laimbench.deploy import Transcriber

    console = console_for(json)
    found = opened(checkpoint, Transcriber).transcribe(files)
    for one in found:
        console.print(escape(f"{one.item}: {' '.join(one.labels)}"), soft_wrap=True)
        note(console, one.item, one.note)
    emit_json({"checkpoint": str(checkpoint), "transcripts": [asdict(one) for one in found]}, json)
