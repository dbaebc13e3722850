"""``laimbench export``: a trained model in a format of others."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from laimbench.cli.output import JsonOption, console_for, emit_json


class Format(StrEnum):
    TRANSFORMERS = "transformers"
    TORCH_EXPORT = "torch-export"
    ONNX = "onnx"


def export(
    checkpoint: Annotated[Path, typer.Argument(help="What `laimbench train --out` kept.", metavar="CHECKPOINT")],
    out: Annotated[Path, typer.Argument(help="A folder (transformers), or a .pt2 or .onnx file.", metavar="OUT")],
    format: Annotated[Format, typer.Option(help="For whom.")] = Format.TRANSFORMERS,
    backend: Annotated[str, typer.Option(help="Ops in a torch-export: torch, or laim (needs laimbench).")] = "torch",
    json: JsonOption = None,
) -> None:
    """Write a trained model for transformers, torch.export or ONNX, and check it: same logits on random input."""
    from laimbench.deploy import export as formats
    from laimbench.errors import InputError
    from laimbench.train import load_checkpoint

    if backend != "torch" and format != Format.TORCH_EXPORT:
        raise InputError(f"backend is {backend!r}, expected torch for --format {format}")
    console = console_for(json)
    if format == Format.TRANSFORMERS:
        found = formats.export_transformers(load_checkpoint(checkpoint, "torch"), out)
    elif format == Format.TORCH_EXPORT:
        found = formats.export_torch(checkpoint, out, backend)
    else:
        found = formats.export_onnx(checkpoint, out)
    console.print(
        f"{out}: largest difference of logits {found.difference:.3g} (the model's own error {found.own_error:.3g}, "
        f"largest logit {found.largest:.3g})"
    )
    figures = {"difference": found.difference, "error": found.error, "own_error": found.own_error}
    emit_json({"out": str(out), "format": format.value, **figures, "largest_logit": found.largest}, json)
