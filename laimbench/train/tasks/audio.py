"""Clips of sound: one class each."""

from typing import Any

import numpy as np
from torch import Tensor, nn

from laimbench.data import load_clips, log_mel
from laimbench.data.audio import frame_count
from laimbench.models import AudioConfig, AudioEncoder
from laimbench.models.flops import audio_training_flops
from laimbench.train.config import RunConfig
from laimbench.train.tasks.task import MOST_VALIDATION, ClassTask, held_out_batches, tensors

RATE, BANDS = 16_000, 40


class AudioTask(ClassTask):
    """Family "audio" on clips with classes."""

    def __init__(self, config: RunConfig):
        self.config, self.data = config, load_clips(config.data, RATE, config.seconds)
        self.notes, self.classes = self.data.notes, len(self.data.classes)
        self.facts = {"classes": list(self.data.classes), "bands": BANDS, "rate": RATE, "seconds": config.seconds}
        self.model = self.build(config, self.facts)
        frames = int(frame_count(np.array([round(config.seconds * RATE)]), RATE)[0])
        self.flops_per_step = audio_training_flops(self.model.config, frames, config.batch_size)

    @staticmethod
    def build(config: RunConfig, facts: dict[str, Any]) -> nn.Module:
        shape = AudioConfig(
            facts["bands"], len(facts["classes"]), config.width, config.depth, config.head_count, hidden=config.hidden,
            mlp=config.mlp or "gelu", norm=config.norm or "layer",
        )  # fmt: skip
        return AudioEncoder(shape, config.backend)

    def batch(self, step: int) -> tuple[Tensor, ...]:
        return _frames(self.data.train_batch(self.config.seed, step, self.config.batch_size))

    def validation(self) -> list[tuple[Tensor, ...]]:
        total = min(MOST_VALIDATION, len(self.data.sets.validation))
        return [_frames(batch) for batch in held_out_batches(self.data, 200, total)]


def _frames(batch: tuple[np.ndarray, ...]) -> tuple[Tensor, ...]:
    samples, lengths, labels = batch
    return tensors((log_mel(samples, RATE, BANDS), frame_count(lengths, RATE), labels))
