"""Train one model: configuration, data and model of each family, steps, evaluation, checkpoints."""

from laimbench.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from laimbench.train.config import RunConfig
from laimbench.train.trainer import Described, Evaluation, Trainer, describe

__all__ = [
    "Checkpoint",
    "Described",
    "Evaluation",
    "RunConfig",
    "Trainer",
    "describe",
    "load_checkpoint",
    "save_checkpoint",
]
