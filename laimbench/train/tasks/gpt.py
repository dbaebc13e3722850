"""Next-token prediction on windows of a token stream, drawn at random; validation windows are fixed."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from laimbench.data import Tokens, TokenWindows, load_windows
from laimbench.data.synthetic import SyntheticTokens
from laimbench.errors import InputError
from laimbench.models import GPT, GPTConfig
from laimbench.models.flops import gpt_training_flops
from laimbench.train.config import RunConfig
from laimbench.train.tasks.task import Task


class GPTTask(Task):
    """Family "gpt" on any source of tokens."""

    READS = ("data", "vocab_size", "tokenizer", "text_field")

    def __init__(self, config: RunConfig):
        self.config, self.data = config, self.load(config)
        self.notes = self.data.notes
        self.facts = {"vocab_size": self.data.vocab_size}
        if config.document_masks:
            if not isinstance(self.data, Tokens):
                raise InputError(f"document_masks is true, but data {config.data!r} has no documents")
            self.facts["document_end"] = self.data.document_end
        self.model = self.build(config, self.facts)
        self.flops_per_step = self.training_flops()

    @staticmethod
    def load(config: RunConfig) -> TokenWindows:
        return load_windows(config.data, config.vocab_size, config.tokenizer, config.text_field)

    def training_flops(self) -> float:
        """Return the FLOPs of a step."""
        params = sum(p.numel() for p in self.model.parameters())
        return gpt_training_flops(self.model.config, self.config.tokens_per_step, params, self.embedding_params)

    @staticmethod
    def build(config: RunConfig, facts: dict[str, Any]) -> GPT:
        shape = GPTConfig(
            facts["vocab_size"], config.seqlen, config.width, config.depth, config.head_count, config.tied, config.kv_heads,
            config.hidden, config.norm or "layer", config.mlp or "gelu", config.positions or "learned",
            config.rope_base or GPTConfig.rope_base, config.eps or GPTConfig.eps, facts.get("document_end", GPTConfig.document_end),
        )  # fmt: skip
        return GPT(shape, config.backend)

    @property
    def tokenizer_path(self) -> Path | None:
        return self.data.folder / "tokenizer.json" if isinstance(self.data, Tokens) else None

    def batch(self, step: int) -> tuple[Tensor, ...]:
        config = self.config
        return _pair(self.data.train_windows(config.seed, step, config.batch_size, config.seqlen + 1))

    def validation(self, most: int | None = None) -> list[tuple[Tensor, ...]]:
        seqlen, batch = self.config.seqlen, self.config.batch_size
        windows = self.data.validation_windows(most or max(1, self.config.eval_tokens // seqlen), seqlen + 1)
        return [_pair(windows[i : i + batch]) for i in range(0, len(windows), batch)]

    def predictions(self, batch: tuple[Tensor, ...]) -> int:
        return batch[-1].numel()

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


def _pair(windows: np.ndarray) -> tuple[Tensor, ...]:
    rows = torch.from_numpy(windows)
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
