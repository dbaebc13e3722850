"""The interface of all families' tasks, and what tasks with classes share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from laimbench.data.labelled import ByClass
from laimbench.metrics.classification import classification
from laimbench.train.config import RunConfig

MOST_VALIDATION = 500  # items that a run is evaluated on, where they are not tokens


class Task:
    """A family's side of a run. Batches depend on seed and step alone, so every backend sees the same.

    READS: the fields of the configuration on which the data depends. facts: what the data says about the model, as JSON: with the
    configuration enough to build it again. notes: about the data, for the user.
    """

    READS: ClassVar[tuple[str, ...]] = ("data",)

    config: RunConfig
    data: Any
    facts: dict[str, Any]
    model: nn.Module
    flops_per_step: float
    notes: tuple[str, ...] = ()

    @staticmethod
    def load(config: RunConfig) -> Any:
        """Return the data, whose ``content`` is a hash of what it was read from, '' where its name says all about it.

        Raises:
            InputError: a bad source.
        """
        raise NotImplementedError

    @staticmethod
    def build(config: RunConfig, facts: dict[str, Any]) -> nn.Module:
        """Return the model, with fresh weights."""
        raise NotImplementedError

    @property
    def embedding_params(self) -> int:
        return getattr(self.model, "embedding_parameters", lambda: 0)()

    @property
    def tokenizer_path(self) -> Path | None:
        """The tokenizer.json of text data."""
        return None

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Return what the model's forward takes at a step."""
        raise NotImplementedError

    def validation(self, most: int | None = None) -> list[tuple[Tensor, ...]]:
        """Return the same held-out batches for every run: up to ``most`` items (of text: windows), by default as many as a
        run is evaluated on.
        """
        raise NotImplementedError

    def predictions(self, batch: tuple[Tensor, ...]) -> int:
        """Return how many predictions a batch's loss is the mean of."""
        return len(batch[-1])

    def summary(self) -> dict[str, float]:
        """Return the family's final metrics on held-out data."""
        return {}

    def beside_model(self, batch: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Return a batch on the device that the model is on."""
        device = next(self.model.parameters()).device
        return tuple(tensor.to(device) for tensor in batch)


class ClassTask(Task):
    """A task whose model gives ``logits`` of items with one class each, the last part of a batch."""

    classes: int

    @torch.no_grad()
    def log_probabilities(self, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes (n,) of held-out items, as ``validation`` has them, and the model's log-probabilities (n, K)."""
        targets, found = [], []
        for *inputs, target in self.validation(most):
            targets.append(target)
            # In double precision no probability becomes 0, whose log loss would be infinite.
            found.append(self.model.logits(*self.beside_model(inputs)).double().log_softmax(-1).cpu())
        return torch.cat(targets).numpy(), torch.cat(found).numpy()

    def summary(self) -> dict[str, float]:
        target, log_probs = self.log_probabilities()
        return classification(target, log_probs.argmax(1), self.classes)


def tensors(arrays: tuple[np.ndarray, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)


def held_out_batches(data: ByClass, size: int, most: int) -> list[Any]:
    """Return up to ``most`` held-out items, ``size`` at a time: all, or some that are spread evenly, for items lie class by class."""
    count = data.validation_size
    positions = np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(np.int64)
    return [data.at(data.sets.validation, positions[i : i + size]) for i in range(0, len(positions), size)]
