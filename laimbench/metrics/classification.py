"""What a classifier got right, and how far its probabilities can be believed. Every item has one class."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from laimbench.errors import InputError

BINNINGS = ("equal-width", "equal-mass")
SUM_TOLERANCE = (
    1e-3  # of a row of probabilities: a softmax over thousands of classes in half precision is that far from 1
)


@dataclass(frozen=True)
class Scores:
    """Scores of a confusion matrix. Per class (K,); NaN for a class with neither targets nor predictions, which counts nowhere.

    accuracy: the share of hits. Micro-averaged precision, recall and F1 are the same number, since an item has one class.
    precision: hits / predictions, 0 for a class that has targets but is never predicted.
    recall: hits / targets, NaN for a class without targets.
    f1: 2 hits / (targets + predictions).
    macro_precision, macro_recall, macro_f1: means over the classes where it is not NaN. macro_recall is the balanced accuracy.
    """

    accuracy: float
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    macro_precision: float
    macro_recall: float
    macro_f1: float


def classification(target: Any, predicted: Any, classes: int) -> dict[str, float]:
    """Return accuracy, macro recall and macro F1: the three that a training run keeps.

    Args:
        target, predicted: (n,) integers in [0, classes).
    """
    found = scores(confusion_matrix(target, predicted, classes))
    return {"accuracy": found.accuracy, "recall": found.macro_recall, "f1": found.macro_f1}


def confusion_matrix(target: Any, predicted: Any, classes: int, weights: Any = None) -> np.ndarray:
    """Return (classes, classes) counts [target, predicted], int64; float64 sums of weights where those are given.

    Args:
        target, predicted: (n,) integers in [0, classes).
        weights: (n,), as of a bootstrap sample: how often each item was drawn.

    Raises:
        InputError: no items, arrays that do not match, labels outside of [0, classes).
    """
    target = _labels("target", target, classes)
    predicted = _labels("predicted", predicted, classes)
    if len(predicted) != len(target):
        raise InputError(f"predicted has {len(predicted)} items, expected {len(target)} as target")
    cells = np.bincount(target * classes + predicted, weights, minlength=classes * classes)
    return cells.reshape(classes, classes)


def scores(confusion: np.ndarray) -> Scores:
    """Return the scores of a confusion matrix (K, K) of [target, predicted].

    scikit-learn's, but for recall: there a class that is predicted and has no targets counts as 0 in the macro average, while
    here, as in its ``balanced_accuracy_score``, it is left out.
    """
    confusion = np.asarray(confusion, dtype=float)
    hits, actual, claimed = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    total = actual.sum()
    if not total > 0:
        raise InputError("confusion matrix is empty, expected one item or more")
    seen = actual + claimed > 0
    precision = np.where(seen, hits / np.where(claimed > 0, claimed, 1.0), np.nan)
    recall = np.where(actual > 0, hits / np.where(actual > 0, actual, 1.0), np.nan)
    f1 = np.where(seen, 2 * hits / np.where(seen, actual + claimed, 1.0), np.nan)
    return Scores(
        float(hits.sum() / total),
        precision,
        recall,
        f1,
        float(precision[seen].mean()),
        float(recall[actual > 0].mean()),
        float(f1[seen].mean()),
    )


def log_loss(target: Any, probabilities: Any) -> float:
    """Return the mean of -log p[target] in nats; infinite where a class that came true had probability 0.

    Args:
        target: (n,) integers in [0, K).
        probabilities: (n, K), rows that sum to 1.

    Raises:
        InputError: as in ``expected_calibration_error``.
    """
    target, probabilities = _checked(target, probabilities)
    with np.errstate(divide="ignore"):
        return float(-np.log(probabilities[np.arange(len(target)), target]).mean())


def brier_score(target: Any, probabilities: Any) -> float:
    """Return the mean over items of the squared distance of p from the one-hot target, summed over classes: 0 to 2.

    Source: Brier 1950. (For two classes it is twice the score of the positive class alone.) Arguments as in ``log_loss``.
    """
    target, probabilities = _checked(target, probabilities)
    # |p - e|^2 = |p|^2 - 2 p[target] + 1 would cancel where p is nearly right.
    away = probabilities.copy()
    away[np.arange(len(target)), target] -= 1
    return float((away**2).sum(1).mean())


def expected_calibration_error(
    target: Any, probabilities: Any, *, bins: int = 15, binning: str = "equal-width"
) -> float:
    """Return the mean over items of |accuracy - mean confidence| of the item's bin; the confidence is the largest probability.

    Source: Guo et al. 2017, equation 3, with 15 bins of equal width ((i/15, (i+1)/15]). It is biased upwards by the noise
    within a bin, the more the fewer items a bin has: compare values of the same number of items and bins only.

    Args:
        target: (n,) integers in [0, K).
        probabilities: (n, K), rows that sum to 1. Of equal largest probabilities the first class is the predicted one.
        bins: how many.
        binning: "equal-width", or "equal-mass": items in the order of their confidence, in bins of as equal numbers as
            can be; items of equal confidence share a bin, that of the first of them.

    Raises:
        InputError: arrays that do not match, labels outside of [0, K), rows that are no probabilities, bins < 1.
    """
    target, probabilities = _checked(target, probabilities)
    if bins < 1:
        raise InputError(f"bins is {bins}, expected 1 or more")
    if binning not in BINNINGS:
        raise InputError(f"binning is {binning!r}, expected one of {', '.join(BINNINGS)}")
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == target
    if binning == "equal-width":
        number = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    else:
        ordered = np.sort(confidence)
        number = np.searchsorted(ordered, confidence) * bins // len(confidence)
    return float(np.abs(np.bincount(number, hit - confidence, bins)).sum() / len(target))


def _labels(name: str, labels: Any, classes: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu":
        raise InputError(
            f"{name} has shape {labels.shape} and type {labels.dtype}, expected (n,) integers, one or more"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"{name} has labels from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    return labels.astype(np.int64)


def _checked(target: Any, probabilities: Any) -> tuple[np.ndarray, np.ndarray]:
    probabilities = np.asarray(probabilities, dtype=float)
    if probabilities.ndim != 2 or not probabilities.size:
        raise InputError(f"probabilities has shape {probabilities.shape}, expected (n, classes)")
    target = _labels("target", target, probabilities.shape[1])
    if len(target) != len(probabilities):
        raise InputError(f"probabilities has {len(probabilities)} rows, expected {len(target)} as target")
    if not (probabilities >= 0).all() or not (np.abs(probabilities.sum(1) - 1) <= SUM_TOLERANCE).all():
        raise InputError(
            "probabilities has rows with negative values, NaN or a sum other than 1, expected probabilities"
        )
    return target, probabilities
