"""A GPT checkpoint as what the probes ask for, and as what scores windows: losses in batches, greedy continuations."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from laimbench.data.tokenizer import read_tokenizer
from laimbench.errors import InputError
from laimbench.evaluate.held_out import held_out_task
from laimbench.models import GPT
from laimbench.models.decoding import Sampling, generate
from laimbench.responsible.bias import read_templates
from laimbench.responsible.probe import probe_bias, probe_memorisation
from laimbench.train import Checkpoint, load_checkpoint

TOKENS_TOGETHER = 1 << 13  # in one forward pass
CONTINUED_TOGETHER = 64
PROBED_TOKENS = 48  # of a window: 32 given, 16 to be continued


class CheckpointModel:
    """A GPT that keeps ``laimbench.responsible.model.LanguageModel``; in fp32, whatever it was trained in."""

    def __init__(self, model: GPT):
        self.model = model.eval()
        self.vocab_size, self.seqlen = model.config.vocab_size, model.config.seqlen

    @torch.no_grad()
    def losses(self, windows: np.ndarray) -> np.ndarray:
        """Return (n, L - 1) float64 nats of windows (n, L), L up to seqlen + 1: of each token after the first, given those before."""
        rows, step = torch.from_numpy(windows), max(1, TOKENS_TOGETHER // windows.shape[1])
        found = [
            self.model.losses(part[:, :-1].contiguous(), part[:, 1:].contiguous()).double().numpy()
            for part in rows.split(step)
        ]
        return np.concatenate(found)

    def continue_greedily(self, prefixes: np.ndarray, count: int) -> np.ndarray:
        """Return (n, count): after prefixes (n, k) the likeliest token, ``count`` times in turn.

        Raises:
            InputError: k + count above seqlen + 1: the last tokens would be said without the first ones.
        """
        if prefixes.shape[1] + count > self.seqlen + 1:
            raise InputError(
                f"{prefixes.shape[1]} tokens and {count} more, expected at most {self.seqlen + 1} together"
            )
        said = []
        for first in range(0, len(prefixes), CONTINUED_TOGETHER):
            prompts = prefixes[first : first + CONTINUED_TOGETHER].tolist()
            said += generate(self.model, prompts, count, Sampling(temperature=0))
        return np.array(said, dtype=np.int64).reshape(len(prefixes), count)


def read_language_model(folder: Path) -> Checkpoint:
    """Return a checkpoint of family "gpt".

    Raises:
        InputError: not a checkpoint, or one of another family.
    """
    checkpoint = load_checkpoint(folder)
    if checkpoint.config.family != "gpt":
        raise InputError(f"{folder}: family {checkpoint.config.family}, expected gpt")
    return checkpoint


def memorisation_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return {"memorisation": …} by ``responsible.probe``: windows of the run's own batches against held-out ones.

    48 tokens of a window, a third of them to be continued; fewer where the model reads fewer.

    Raises:
        InputError: the run's data is gone, or the checkpoint does not say how many steps it took.
    """
    config, model = checkpoint.config, CheckpointModel(checkpoint.model)
    length = min(PROBED_TOKENS, model.seqlen + 1)
    continuation = max(1, length // 3)
    steps = checkpoint.state.get("step")
    if not isinstance(steps, int):
        raise InputError(f"{checkpoint.folder}: state has no step, expected how many the run took")
    return probe_memorisation(
        model, held_out_task(checkpoint).data, seed=config.seed, steps=steps, batch_size=config.batch_size,
        prefix=length - continuation, continuation=continuation,
    )  # fmt: skip


def bias_of(checkpoint: Checkpoint, templates: Path) -> dict[str, Any]:
    """Return {"bias": […]} by ``responsible.probe``, for templates of a file.

    Raises:
        InputError: a model of tokens that are no text, or a file that is not of the form.
    """
    if checkpoint.tokenizer_path is None:
        raise InputError(f"{checkpoint.folder}: no tokenizer.json, expected a model trained on text")
    tokenizer, _ = read_tokenizer(checkpoint.tokenizer_path)

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    return probe_bias(CheckpointModel(checkpoint.model), encode, read_templates(templates))
