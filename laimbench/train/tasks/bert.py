"""Masked tokens of a text (pre-training), or classes of labelled texts (fine-tuning, or from scratch)."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from laimbench.data import LabelledTexts, Tokens, TokenWindows, load_labelled_texts, load_windows
from laimbench.data.special import SpecialIds
from laimbench.errors import InputError
from laimbench.models import BERT, BERTConfig
from laimbench.models.flops import bert_training_flops
from laimbench.train.config import RunConfig
from laimbench.train.tasks.task import MOST_VALIDATION, ClassTask, held_out_batches, tensors

MASKED_SHARE = 0.15  # of tokens that are asked for (Devlin et al. 2019, section 3.1); of those 80 % are hidden,
HIDDEN, RANDOM = 0.8, 0.1  # 10 % replaced by any token, 10 % left as they are


class BERTTask(ClassTask):
    """Family "bert". Masked tokens: a sequence is the first token and seqlen - 1 of text, a fixed number of them masked. Classes:
    a sequence is the first token and a labelled text, padded to seqlen.
    """

    READS = ("data", "vocab_size", "tokenizer", "text_field", "seqlen", "objective_name")

    def __init__(self, config: RunConfig):
        self.config, self.masks = config, config.objective_name == "masked"
        if config.seqlen < 2:
            raise InputError(f"seqlen is {config.seqlen}, expected 2 or more for family bert")
        self.data = self.load(config)
        classes = [] if self.masks else list(self.data.classes)
        self.notes, self.classes = self.data.notes, len(classes)
        self.special = SpecialIds(self.data.vocab_size)
        self.masked = max(1, round(MASKED_SHARE * (config.seqlen - 1)))
        self.facts = {"vocab_size": self.data.vocab_size, "classes": classes}
        self.model = self.build(config, self.facts)
        self.flops_per_step = bert_training_flops(self.model.config, config.seqlen, self.masked, config.batch_size)

    @staticmethod
    def load(config: RunConfig) -> TokenWindows | LabelledTexts:
        if config.objective_name == "masked":
            return load_windows(config.data, config.vocab_size, config.tokenizer, config.text_field)
        return load_labelled_texts(config.data, config.vocab_size, config.tokenizer, config.seqlen)

    @staticmethod
    def build(config: RunConfig, facts: dict[str, Any]) -> BERT:
        shape = BERTConfig(
            SpecialIds(facts["vocab_size"]).total, config.seqlen, config.width, config.depth, config.head_count,
            config.hidden, config.mlp or "gelu", len(facts["classes"]), config.eps or BERTConfig.eps,
        )  # fmt: skip
        return BERT(shape, config.backend)

    @property
    def tokenizer_path(self) -> Path | None:
        if not self.masks:
            return self.data.tokenizer
        return self.data.folder / "tokenizer.json" if isinstance(self.data, Tokens) else None

    def batch(self, step: int) -> tuple[Tensor, ...]:
        config = self.config
        if not self.masks:
            return tensors(self.data.train_batch(config.seed, step, config.batch_size))
        windows = self.data.train_windows(config.seed, step, config.batch_size, config.seqlen - 1)
        return self._mask(windows, np.random.default_rng((config.seed, step, 1)))

    def validation(self, most: int | None = None) -> list[tuple[Tensor, ...]]:
        config, size = self.config, self.config.batch_size
        if not self.masks:
            return [tensors(batch) for batch in held_out_batches(self.data, size, most or MOST_VALIDATION)]
        windows = self.data.validation_windows(most or max(1, config.eval_tokens // config.seqlen), config.seqlen - 1)
        generator = np.random.default_rng((0, 0, 2))
        return [self._mask(windows[i : i + size], generator) for i in range(0, len(windows), size)]

    def predictions(self, batch: tuple[Tensor, ...]) -> int:
        return batch[-1].numel()

    def summary(self) -> dict[str, float]:
        """Return what was told apart how well; nothing more than the loss of masked tokens."""
        return {} if self.masks else super().summary()

    def _mask(self, windows: np.ndarray, generator: np.random.Generator) -> tuple[Tensor, ...]:
        """Return tokens (B, S), the positions (B, M) that are asked for, and what stood there (B, M)."""
        count, length = windows.shape
        tokens = np.concatenate([np.full((count, 1), self.special.cls), windows], axis=1)
        positions = 1 + np.sort(generator.random((count, length)).argsort(1)[:, : self.masked], axis=1)
        targets = np.take_along_axis(tokens, positions, 1)
        what = generator.random(targets.shape)
        shown = np.where(
            what < HIDDEN,
            self.special.mask,
            np.where(what < HIDDEN + RANDOM, generator.integers(0, self.data.vocab_size, targets.shape), targets),
        )
        np.put_along_axis(tokens, positions, shown, 1)
        return tensors((tokens, positions, targets))
