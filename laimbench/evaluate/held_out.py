"""The held-out data of a checkpoint: its own source, or another one of the same kind, as its own tokenizer reads it."""

from dataclasses import replace

import torch

from laimbench.errors import InputError
from laimbench.train import Checkpoint
from laimbench.train.config import RunConfig
from laimbench.train.tasks import Task, make_task


def held_out_task(checkpoint: Checkpoint, data: str = "") -> Task:
    """Return the family's task on ``data`` ("": the run's own source), with the checkpoint's model.

    Text is tokenised by the checkpoint's tokenizer.json: another one's ids would mean other texts.

    Raises:
        InputError: a bad source, or one of another kind than what the model was trained on.
    """
    source = data or checkpoint.config.data
    config = _config(checkpoint, source)
    with torch.device("meta"):  # the model that comes with the task is not used: no memory for it
        task = make_task(config)
    for name, ours in checkpoint.facts.items():
        if task.facts.get(name) != ours:
            raise InputError(
                f"data {source!r}: {name} is {task.facts.get(name)!r}, expected {ours!r} as the checkpoint"
            )
    task.model = checkpoint.model
    return task


def _config(checkpoint: Checkpoint, source: str) -> RunConfig:
    config, tokenizer = checkpoint.config, checkpoint.tokenizer_path
    changes = {"data": source}
    if tokenizer is not None:
        changes["tokenizer"] = str(tokenizer)
    if config.family == "bert":
        changes["objective"] = "classes" if checkpoint.facts["classes"] else "masked"
    reads_text = config.family == "gpt" or changes.get("objective") == "masked"
    if reads_text and (tokenizer is None) != source.startswith("synthetic:"):
        kind = "a synthetic source: there is no tokenizer" if tokenizer is None else "a source of text"
        raise InputError(f"data {source!r}: {checkpoint.folder} was trained on {config.data!r}, expected {kind}")
    return replace(config, **changes)
