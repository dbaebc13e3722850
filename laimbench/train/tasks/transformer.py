"""One sequence from another: pairs of texts."""

from typing import Any

from torch import Tensor

from laimbench.data import PairBatch, Pairs, load_pairs
from laimbench.data.pairs import BEGIN, END, PAD
from laimbench.models import Transformer, TransformerConfig
from laimbench.models.decoding import beam_search
from laimbench.models.flops import transformer_training_flops
from laimbench.models.losses import IGNORED
from laimbench.train.config import RunConfig
from laimbench.train.tasks.task import MOST_VALIDATION, Task, tensors

CHECKED = 200  # pairs that the summary decodes
DECODED_TOGETHER = 100


class TransformerTask(Task):
    """Family "transformer" on a source of pairs; a sample is a pair."""

    def __init__(self, config: RunConfig):
        self.config, self.data = config, self.load(config)
        self.notes = self.data.notes
        self.facts = {"vocab_size": self.data.vocab_size, "max_target": self.data.max_target}
        self.model = self.build(config, self.facts)
        self.flops_per_step = transformer_training_flops(
            self.model.config, self.data.max_source, self.data.max_target - 1, config.batch_size
        )

    @staticmethod
    def load(config: RunConfig) -> Pairs:
        return load_pairs(config.data)

    @staticmethod
    def build(config: RunConfig, facts: dict[str, Any]) -> Transformer:
        shape = TransformerConfig(
            facts["vocab_size"], config.width, config.depth, config.head_count, config.hidden, config.mlp or "relu",
            label_smoothing=config.label_smoothing,
        )  # fmt: skip
        return Transformer(shape, config.backend)

    def batch(self, step: int) -> tuple[Tensor, ...]:
        return _inputs(self.data.train_batch(self.config.seed, step, self.config.batch_size))

    def validation(self, most: int | None = None) -> list[tuple[Tensor, ...]]:
        total = min(most or MOST_VALIDATION, self.data.most_validation)
        return [_inputs(batch) for batch in self._held_out(self.config.batch_size, total)]

    def predictions(self, batch: tuple[Tensor, ...]) -> int:
        return int((batch[-1] != IGNORED).sum())

    def summary(self) -> dict[str, float]:
        """The share of held-out pairs whose target is said exactly, by greedy decoding (of CHECKED)."""
        right = 0
        total = min(CHECKED, self.data.most_validation)
        for batch in self._held_out(DECODED_TOGETHER, total):
            for row, target, length in zip(self.said(batch), batch.target, batch.target_lengths, strict=True):
                right += row == target[1 : length - 1].tolist()
        return {"exact_match": right / total}

    def translations(self, beams: int, most: int) -> tuple[list[str], list[str]]:
        """Return the targets of up to ``most`` held-out pairs as texts, and what the model says for their sources."""
        total, said = min(most, self.data.most_validation), []
        for batch in self._held_out(DECODED_TOGETHER, total):
            said += [self.data.decode(row) for row in self.said(batch, beams)]
        return [target for _, target in self.data.validation_texts(0, total)], said

    def said(self, batch: PairBatch, beams: int = 1) -> list[list[int]]:
        """Return the ids that the model says for each source of a batch, without begin and end."""
        source, lengths = self.beside_model(tensors((batch.source, batch.source_lengths)))
        return beam_search(self.model, source, lengths, self.data.max_target, begin=BEGIN, end=END, beams=beams)

    def _held_out(self, size: int, total: int) -> list[PairBatch]:
        return [self.data.validation_batch(first, min(size, total - first)) for first in range(0, total, size)]


def _inputs(batch: PairBatch) -> tuple[Tensor, ...]:
    source, lengths, target = tensors((batch.source, batch.source_lengths, batch.target))
    following = target[:, 1:].clone()
    following[following == PAD] = IGNORED
    return source, lengths, target[:, :-1].contiguous(), following
