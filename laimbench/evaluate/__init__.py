"""What a trained checkpoint is worth on held-out data: every family's figures with intervals, and strong baselines beside them."""

from laimbench.evaluate.language_model import CheckpointModel, read_language_model
from laimbench.evaluate.run import COMPARISONS, DOCUMENT_KIND, evaluate

__all__ = ["COMPARISONS", "DOCUMENT_KIND", "CheckpointModel", "evaluate", "read_language_model"]
