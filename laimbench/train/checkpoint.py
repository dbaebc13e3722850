"""Trained models as folders: weights in safetensors, everything else in JSON, the tokenizer beside them. Nothing is pickled.

model.safetensors   every parameter once, by its name in the model
laimbench.json      format, configuration of the run, facts of the data, how far it came, SHA-256 of the weights
tokenizer.json      where the data is text
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from laimbench.data.cache import sha256
from laimbench.errors import InputError, RunError
from laimbench.files import whole_folder
from laimbench.train.config import RunConfig

FORMAT = 1
WEIGHTS, DESCRIPTION, TOKENIZER = "model.safetensors", "laimbench.json", "tokenizer.json"


@dataclass(frozen=True)
class Checkpoint:
    """A trained model. state: step, tokens, flops, train_loss, val_loss at its end. sha256: of the weights' file."""

    folder: Path
    config: RunConfig
    facts: dict[str, Any]
    state: dict[str, Any]
    sha256: str
    model: nn.Module

    @property
    def tokenizer_path(self) -> Path | None:
        path = self.folder / TOKENIZER
        return path if path.exists() else None


def save_checkpoint(folder: Path, trainer: Any, state: dict[str, Any]) -> str:
    """Write a trainer's model; return the SHA-256 of its weights. The folder appears whole or not at all, and replaces one that was there.

    Raises:
        InputError: the folder holds something else. RunError: the disk is full.
    """
    path = trainer.task.tokenizer_path
    tokenizer = None if path is None else path.read_bytes()
    return write_checkpoint(folder, trainer.config, trainer.task.facts, state, trainer.whole_model(), tokenizer)


def write_checkpoint(
    folder: Path,
    config: RunConfig,
    facts: dict[str, Any],
    state: dict[str, Any],
    model: nn.Module,
    tokenizer: bytes | None,
) -> str:
    """Write a model that no trainer holds, and its tokenizer.json; otherwise as ``save_checkpoint``."""
    try:
        with whole_folder(folder, "a checkpoint", lambda path: (path / DESCRIPTION).exists()) as fresh:
            save_file({name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}, fresh / WEIGHTS)
            digest = sha256(fresh / WEIGHTS)
            if tokenizer is not None:
                (fresh / TOKENIZER).write_bytes(tokenizer)
            description = {
                "format": FORMAT,
                "config": config.to_dict(),
                "facts": facts,
                "state": {k: None if isinstance(v, float) and v != v else v for k, v in state.items()},
                "sha256": digest,
            }
            text = json.dumps(description, indent=2, allow_nan=False) + "\n"
            (fresh / DESCRIPTION).write_text(text, encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise RunError(f"{folder}: the checkpoint cannot be written ({error})") from None
    return digest


def load_checkpoint(folder: Path, backend: str | None = None) -> Checkpoint:
    """Read a checkpoint and build its model, for the backend it was trained with or another one.

    Raises:
        InputError: naming the file and what is wrong with it.
    """
    description = read_description(folder)
    values = {**description["config"], **({"backend": backend} if backend else {})}
    try:
        config = RunConfig.from_dict({**values, "start": ""})
    except InputError as error:
        raise InputError(f"{folder / DESCRIPTION}: config: {error}") from None
    from laimbench.train.tasks import TASKS

    try:
        model = TASKS[config.family].build(config, description["facts"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / DESCRIPTION}: facts: {error!r} is missing or wrong") from None
    weights = read_weights(folder, description["sha256"])
    parameters = dict(model.named_parameters())
    for name in sorted(parameters.keys() ^ weights.keys()):
        raise InputError(
            f"{folder / WEIGHTS}: {name} is {'missing' if name in parameters else 'not a weight of this model'}"
        )
    for name, value in weights.items():
        _copy(folder, name, value, parameters[name])
    return Checkpoint(folder, config, description["facts"], description["state"], description["sha256"], model.eval())


def start_from(model: nn.Module, folder: Path) -> tuple[str, ...]:
    """Take over the weights of a checkpoint that the model has too (fine-tuning); return a line that says which it does not.

    Raises:
        InputError: no such checkpoint, or it shares no weights with the model.
    """
    weights, parameters = read_weights(folder, read_description(folder)["sha256"]), dict(model.named_parameters())
    common = [name for name in parameters if name in weights and weights[name].shape == parameters[name].shape]
    if not common:
        raise InputError(f"start {folder}: has no weights of this model")
    for name in common:
        _copy(folder, name, weights[name], parameters[name])
    fresh = [name for name in parameters if name not in common]
    return (f"{len(common)} of {len(parameters)} weights are those of {folder}" +
            (f"; fresh: {', '.join(fresh[:6])}{' …' if len(fresh) > 6 else ''}" if fresh else ""),)  # fmt: skip


def read_description(folder: Path) -> dict[str, Any]:
    """Return the content of laimbench.json, checked for its parts."""
    path = folder / DESCRIPTION
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: not a checkpoint, expected a folder with {DESCRIPTION}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{path}: format is not {FORMAT}, expected a checkpoint of this version")
    for name, kind in (("config", dict), ("facts", dict), ("state", dict), ("sha256", str)):
        if not isinstance(found.get(name), kind):
            raise InputError(f"{path}: {name} is missing")
    return found


def read_weights(folder: Path, digest: str) -> dict[str, torch.Tensor]:
    """Return the weights by name, after a check of their file's SHA-256."""
    path = folder / WEIGHTS
    try:
        if sha256(path) != digest:
            raise InputError(f"{path}: its SHA-256 is not the one in {DESCRIPTION}: damaged, or of another checkpoint")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    return read_safetensors(path)


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file by name.

    Raises:
        InputError: no such file, or a damaged one.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def _copy(folder: Path, name: str, value: torch.Tensor, parameter: nn.Parameter) -> None:
    if value.shape != parameter.shape:
        raise InputError(f"{folder / WEIGHTS}: {name} is {tuple(value.shape)}, expected {tuple(parameter.shape)}")
    with torch.no_grad():
        parameter.copy_(value)
