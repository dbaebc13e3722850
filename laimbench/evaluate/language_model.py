"""A GPT checkpoint as what the probes ask for, and as what scores windows: losses in batches, greedy continuations."""

from pathlib import Path

import numpy as np
import torch

from laimbench.errors import InputError
from laimbench.models import GPT
from laimbench.models.decoding import Sampling, generate
from laimbench.train import Checkpoint, load_checkpoint

TOKENS_TOGETHER = 1 << 13  # in one forward pass
CONTINUED_TOGETHER = 64


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


def read_language_model(folder: Path) -> tuple[Checkpoint, CheckpointModel]:
    """Return a checkpoint of family "gpt" and its model.

    Raises:
        InputError: not a checkpoint, or one of another family.
    """
    checkpoint = load_checkpoint(folder)
    if checkpoint.config.family != "gpt":
        raise InputError(f"{folder}: family {checkpoint.config.family}, expected gpt")
    return checkpoint, CheckpointModel(checkpoint.model)
