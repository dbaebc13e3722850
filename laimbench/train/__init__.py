"""Train one model: configuration, data and model of each family, steps, evaluation, checkpoints."""

from laimbench.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from laimbench.train.config import RunConfig
from laimbench.train.execution import Execution
from laimbench.train.keeper import Keeper, StateError
from laimbench.train.tasks import content_of
from laimbench.train.trainer import Described, Evaluation, Trainer, describe

__all__ = [
    "Checkpoint",
    "Described",
    "Evaluation",
    "Execution",
    "Keeper",
    "RunConfig",
    "StateError",
    "Trainer",
    "content_of",
    "describe",
    "load_checkpoint",
    "save_checkpoint",
]
