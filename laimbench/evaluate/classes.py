"""Classifiers: how much is right, of which class, and how far the probabilities can be believed; clusters are items.

Shapes: n items, K classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from laimbench.evaluate.figures import figure
from laimbench.metrics.bootstrap import interval, ratio_interval
from laimbench.metrics.classification import confusion_matrix, expected_calibration_error, scores
from laimbench.train.tasks.task import ClassTask

AVERAGED = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Classified:
    """Classes (n,) of held-out items and a model's log-probabilities (n, K) float64."""

    target: np.ndarray
    log_probs: np.ndarray

    @property
    def hits(self) -> np.ndarray:
        """Return (n,) bool: whether the likeliest class is the right one."""
        return self.log_probs.argmax(1) == self.target


def evaluate_classes(task: ClassTask, classified: Classified) -> dict[str, Any]:
    """Return figures, the confusion matrix [target][predicted], and the scores of each class.

    Micro-averaged precision, recall and F1 equal the accuracy, since an item has one class.
    """
    target, predicted = classified.target, classified.log_probs.argmax(1)
    probabilities, items = np.exp(classified.log_probs), len(target)
    rows = np.arange(items)

    def macro(name: str):
        return lambda weights: getattr(
            scores(confusion_matrix(target, predicted, task.classes, weights)), f"macro_{name}"
        )

    away = probabilities.copy()
    away[rows, target] -= 1
    accuracy = ratio_interval(classified.hits, 1)
    figures = [
        *(figure(name, "share", accuracy) for name in ("accuracy", *(f"micro {name}" for name in AVERAGED))),
        *(figure(f"macro {name}", "share", interval(macro(name), items)) for name in AVERAGED),
        figure("log loss", "nats", ratio_interval(-classified.log_probs[rows, target], 1)),
        figure("Brier score", "0 to 2", ratio_interval((away**2).sum(1), 1)),
        # Without an interval: its bias is in every sample again, which would lie too high.
        figure("calibration error", "share", expected_calibration_error(target, probabilities)),
    ]
    confusion = confusion_matrix(target, predicted, task.classes)
    found = scores(confusion)
    columns = {name: [None if np.isnan(v) else float(v) for v in getattr(found, name)] for name in AVERAGED}
    per_class = [
        {"class": name, "items": int(confusion[i].sum()), **{key: column[i] for key, column in columns.items()}}
        for i, name in enumerate(task.data.classes)
    ]
    details = {"per_class": per_class, "confusion": confusion.tolist()}
    return {"unit": "items", "items": items, "figures": figures, "details": details}
