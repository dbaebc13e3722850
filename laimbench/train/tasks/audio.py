"""Clips of sound: one class each, or a transcript each, by CTC."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from laimbench.data import Clips, Speech, load_clips, load_speech, log_mel
from laimbench.data.audio import frame_count
from laimbench.data.spoken import NUMBERS
from laimbench.metrics.sequences import error_rate, exact_match
from laimbench.models import AudioConfig, AudioEncoder
from laimbench.models.decoding import ctc_greedy
from laimbench.models.flops import audio_training_flops
from laimbench.train.config import RunConfig
from laimbench.train.tasks.task import MOST_VALIDATION, ClassTask, held_out_batches, tensors

RATE, BANDS = 16_000, 40
NUMBERS_SECONDS = 2.0  # of spoken numbers, which are up to three words


class AudioTask(ClassTask):
    """Family "audio": ``builtin:spoken-numbers`` has transcripts, every other source classes."""

    READS = ("data", "seconds")

    def __init__(self, config: RunConfig):
        self.config, self.ctc, self.data = config, config.data == NUMBERS, self.load(config)
        seconds = NUMBERS_SECONDS if self.ctc else config.seconds
        self.notes, self.classes = self.data.notes, len(self.data.classes)
        self.facts = {
            "classes": list(self.data.classes),
            "ctc": self.ctc,
            "bands": BANDS,
            "rate": RATE,
            "seconds": seconds,
        }
        self.model = self.build(config, self.facts)
        frames = int(frame_count(np.array([round(seconds * RATE)]), RATE)[0])
        self.flops_per_step = audio_training_flops(self.model.config, frames, config.batch_size)

    @staticmethod
    def load(config: RunConfig) -> Clips | Speech:
        if config.data == NUMBERS:
            return load_speech(config.data, RATE, NUMBERS_SECONDS)
        return load_clips(config.data, RATE, config.seconds)

    @staticmethod
    def build(config: RunConfig, facts: dict[str, Any]) -> nn.Module:
        shape = AudioConfig(
            facts["bands"], len(facts["classes"]), config.width, config.depth, config.head_count, facts["ctc"],
            hidden=config.hidden, mlp=config.mlp or "gelu", norm=config.norm or "layer",
        )  # fmt: skip
        return AudioEncoder(shape, config.backend)

    def batch(self, step: int) -> tuple[Tensor, ...]:
        return self._frames(self.data.train_batch(self.config.seed, step, self.config.batch_size))

    def validation(self, most: int | None = None) -> list[tuple[Tensor, ...]]:
        return [self._frames(batch) for batch in held_out_batches(self.data, 250, most or MOST_VALIDATION)]

    def predictions(self, batch: tuple[Tensor, ...]) -> int:
        return int(batch[-1].sum()) if self.ctc else len(batch[-1])

    def transcripts(self, most: int | None = None) -> tuple[list[list[int]], list[list[int]]]:
        """Return what was said in held-out clips, and what the model heard: labels from 1 on, words of ``data.classes``."""
        said, heard = [], []
        with torch.no_grad():
            for frames, lengths, targets, target_lengths in self.validation(most):
                said += [row[:n].tolist() for row, n in zip(targets, target_lengths, strict=True)]
                heard += ctc_greedy(self.model, *self.beside_model((frames, lengths)))
        return said, heard

    def summary(self) -> dict[str, float]:
        """Return accuracy and the like, or of transcripts the word error rate and the share without any error."""
        if not self.ctc:
            return super().summary()
        said, heard = self.transcripts()
        return {
            "word_error_rate": error_rate(said, heard, "symbol").rate,
            "exact_match": float(exact_match(said, heard).mean()),
        }

    def _frames(self, batch: Any) -> tuple[Tensor, ...]:
        if self.ctc:
            samples, lengths, rest = batch.samples, batch.lengths, (batch.targets, batch.target_lengths)
        else:
            samples, lengths, *rest = batch
        return tensors((log_mel(samples, RATE, BANDS), frame_count(lengths, RATE), *rest))
