"""A folder in the layout of GPT2LMHeadModel, LlamaForCausalLM, BertForMaskedLM or BertForSequenceClassification as a checkpoint."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from laimbench.data.tokenizer import vocabulary_size
from laimbench.deploy.export import transformers_bert, transformers_gpt2, transformers_llama
from laimbench.deploy.export.layout import Found
from laimbench.deploy.export.options import Options
from laimbench.deploy.export.tokenizer_files import without_special
from laimbench.deploy.export.weights import read_weights
from laimbench.errors import InputError
from laimbench.train import RunConfig
from laimbench.train.checkpoint import write_checkpoint
from laimbench.train.tasks import TASKS

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
DECODERS = {module.ARCHITECTURE: module for module in (transformers_gpt2, transformers_llama)}
ARCHITECTURES = (*DECODERS, *transformers_bert.ARCHITECTURES)
MODEL_TYPES = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM"}  # where no architecture is told


@dataclass(frozen=True)
class Imported:
    """A model of others: what a checkpoint holds of it, and lines for the user. tokenizer: content of its tokenizer.json."""

    architecture: str
    config: RunConfig
    facts: dict[str, Any]
    model: nn.Module
    tokenizer: str | None
    notes: tuple[str, ...]


def read_transformers(folder: Path, backend: str = "laim") -> Imported:
    """Read config.json, model.safetensors (or its shards) and tokenizer.json; nothing else in the folder is opened.

    Raises:
        InputError: pickled weights; an architecture, option or weight that our models do not have, by its name.
    """
    values = _config(folder / CONFIG)
    architecture = _architecture(folder / CONFIG, values)
    content, tokenizer = _tokenizer(folder / TOKENIZER)
    options = Options(folder / CONFIG, values)
    weights = read_weights(folder)
    if architecture in DECODERS:
        found = DECODERS[architecture].read(options, weights)
    else:
        found = transformers_bert.read(options, weights, architecture, tokenizer)
    options.finish()
    weights.finish()
    try:
        config = RunConfig.from_dict({**found.config, "backend": backend})
        model = TASKS[config.family].build(config, found.facts)
    except InputError as error:
        raise InputError(f"{folder / CONFIG}: {error}") from None
    _fill(folder, model, found)
    notes = list(found.notes)
    if content is not None:
        content = without_special(content, found.facts["vocab_size"])
        known = vocabulary_size(Tokenizer.from_str(content))
        if known != found.facts["vocab_size"]:
            notes.append(
                f"the vocabulary has {found.facts['vocab_size']} entries and the tokenizer {known}: "
                "training that starts from this model with its tokenizer has a fresh embedding"
            )
    return Imported(architecture, config, found.facts, model.eval(), content, tuple(notes))


def import_transformers(folder: Path, out: Path) -> Imported:
    """Write a checkpoint of what ``read_transformers`` finds.

    Raises:
        InputError: as there, or ``out`` holds something else than a checkpoint.
    """
    found = read_transformers(folder)
    state = {"step": 0, "tokens": 0, "flops": 0.0, "train_loss": None, "val_loss": None, "imported": found.architecture}
    tokenizer = None if found.tokenizer is None else found.tokenizer.encode()
    write_checkpoint(out, found.config, found.facts, state, found.model, tokenizer)
    return found


def _config(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.parent}: not a model of transformers, expected a folder with {CONFIG}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: not an object, expected the options of a model")
    return values


def _architecture(path: Path, values: dict[str, Any]) -> str:
    named = values.get("architectures")
    found = named[0] if isinstance(named, list) and len(named) == 1 else named
    found = MODEL_TYPES.get(values.get("model_type")) if found is None else found
    if not isinstance(found, str) or found not in ARCHITECTURES:
        shown = found or values.get("model_type")
        raise InputError(f"{path}: architectures is {shown!r}, expected one of {', '.join(ARCHITECTURES)}")
    return found


def _tokenizer(path: Path) -> tuple[str | None, Tokenizer | None]:
    if not path.is_file():
        return None, None
    try:
        content = path.read_text(encoding="utf-8")
        return content, Tokenizer.from_str(content)
    except Exception as error:  # the library raises Exception itself
        raise InputError(f"{path}: not a tokenizer.json ({str(error).splitlines()[0]})") from None


@torch.no_grad()
def _fill(folder: Path, model: nn.Module, found: Found) -> None:
    for name, parameter in model.named_parameters():
        value = found.weights[name]
        if value.shape != parameter.shape:
            raise InputError(
                f"{folder}: {name} is {tuple(value.shape)}, expected {tuple(parameter.shape)} by its {CONFIG}"
            )
        parameter.copy_(value)
