"""Train one model: configuration, steps, evaluation."""

from laimbench.train.config import RunConfig
from laimbench.train.trainer import Evaluation, Trainer

__all__ = ["Evaluation", "RunConfig", "Trainer"]
