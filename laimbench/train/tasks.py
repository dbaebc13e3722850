"""What a family trains on: model, batches and evaluation, behind one interface."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from laimbench.data import load_digits, load_windows
from laimbench.data.digits import CLASSES
from laimbench.data.labelled import epoch_positions
from laimbench.data.synthetic import SyntheticTokens
from laimbench.errors import InputError
from laimbench.metrics.classification import classification
from laimbench.models import GPT, GPTConfig, SimpleModel
from laimbench.models.flops import gpt_training_flops, simple_training_flops
from laimbench.train.config import RunConfig


class Task(Protocol):
    """A family's side of a run. Batches depend on seed and step alone, so every backend sees the same."""

    model: nn.Module
    flops_per_step: float
    embedding_params: int
    notes: tuple[str, ...]  # about the data, for the user

    def batch(self, step: int) -> tuple[Tensor, Tensor]: ...
    def validation(self) -> list[tuple[Tensor, Tensor]]: ...
    def summary(self) -> dict[str, float]: ...


def make_task(config: RunConfig) -> Task:
    return GPTTask(config) if config.family == "gpt" else DigitsTask(config)


class GPTTask:
    """Next-token prediction on windows of a token stream, drawn at random; validation windows are fixed."""

    def __init__(self, config: RunConfig):
        self.config, self.data = (
            config,
            load_windows(config.data, config.vocab_size, config.tokenizer, config.text_field),
        )
        self.notes = self.data.notes
        shape = GPTConfig(self.data.vocab_size, config.seqlen, config.width, config.depth, config.head_count)
        self.model = GPT(shape, config.backend)
        params = sum(p.numel() for p in self.model.parameters())
        self.embedding_params = self.model.tokens.weight.numel() + self.model.positions.weight.numel()
        self.flops_per_step = gpt_training_flops(shape, config.tokens_per_step, params, self.embedding_params)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        config = self.config
        return self._pair(self.data.train_windows(config.seed, step, config.batch_size, config.seqlen + 1))

    def validation(self) -> list[tuple[Tensor, Tensor]]:
        seqlen, batch = self.config.seqlen, self.config.batch_size
        windows = self.data.validation_windows(max(1, self.config.eval_tokens // seqlen), seqlen + 1)
        return [self._pair(windows[i : i + batch]) for i in range(0, len(windows), batch)]

    @staticmethod
    def _pair(windows: np.ndarray) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(windows)
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()

    def summary(self) -> dict[str, float]:
        """Of a synthetic source: between what its entropy rate and the best loss at this seqlen lie, in nats."""
        if not isinstance(self.data, SyntheticTokens):
            return {}
        rate = self.data.process.entropy_rate()
        bound = self.data.process.finite_context_bound(self.config.seqlen)
        return {
            "entropy_rate_lower": rate.lower,
            "entropy_rate_upper": rate.upper,
            "context_bound_lower": bound.lower,
            "context_bound_upper": bound.upper,
        }


class DigitsTask:
    """Handwritten digits by SimpleModel; an epoch is a fresh permutation of the training images."""

    notes = ()

    def __init__(self, config: RunConfig):
        if config.data != "builtin:digits":
            raise InputError(f"data is {config.data!r}, expected builtin:digits for family mlp")
        self.config, digits = config, load_digits()
        self.train = torch.from_numpy(digits.train_x), torch.from_numpy(digits.train_y)
        self.held_out = torch.from_numpy(digits.validation_x), torch.from_numpy(digits.validation_y)
        pixels = self.train[0].shape[1]
        self.model = SimpleModel(pixels, config.width, CLASSES, config.backend)
        self.embedding_params = 0
        self.flops_per_step = simple_training_flops(pixels, config.width, CLASSES, config.batch_size)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        chosen = torch.from_numpy(epoch_positions(len(self.train[1]), self.config.seed, step, self.config.batch_size))
        return self.train[0][chosen], self.train[1][chosen]

    def validation(self) -> list[tuple[Tensor, Tensor]]:
        return [self.held_out]

    def summary(self) -> dict[str, float]:
        with torch.no_grad():
            predicted = self.model.logits(self.held_out[0]).argmax(1)
        return classification(self.held_out[1].numpy(), predicted.numpy(), CLASSES)
