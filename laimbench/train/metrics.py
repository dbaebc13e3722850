"""What a classifier got right."""

import numpy as np


def classification(target: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, float]:
    """Return accuracy, macro recall and macro F1; a class with neither targets nor predictions counts nowhere.

    Args:
        target, predicted: (n,) integers in [0, classes).
    """
    confusion = np.zeros((classes, classes), dtype=np.int64)  # [target, predicted]
    np.add.at(confusion, (target, predicted), 1)
    hits, actual, claimed = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    recall = hits[actual > 0] / actual[actual > 0]
    seen = actual + claimed > 0
    f1 = 2 * hits[seen] / (actual + claimed)[seen]
    return {"accuracy": float(hits.sum() / len(target)), "recall": float(recall.mean()), "f1": float(f1.mean())}
