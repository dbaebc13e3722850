"""Classification: against scikit-learn, and bins counted by hand."""

import numpy as np
import pytest
import sklearn.metrics as sk

from laimbench.errors import InputError
from laimbench.metrics.classification import (
    brier_score,
    classification,
    confusion_matrix,
    expected_calibration_error,
    log_loss,
    scores,
)

CLASSES = 5


@pytest.fixture
def items():
    """Return targets (300,) and probabilities (300, 5) that are right more often than not; class 4 never comes, never is said."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, CLASSES - 1, 300)
    logits = rng.normal(size=(300, CLASSES)) * 2 + 2 * np.eye(CLASSES)[target]
    logits[:, CLASSES - 1] = -20
    exponentials = np.exp(logits)
    return target, exponentials / exponentials.sum(1, keepdims=True)


def test_scores_are_those_of_scikit_learn(items):
    target, probabilities = items
    predicted = probabilities.argmax(1)
    found = scores(confusion_matrix(target, predicted, CLASSES))
    macro = sk.precision_recall_fscore_support(target, predicted, average="macro")
    assert (found.macro_precision, found.macro_recall, found.macro_f1) == pytest.approx(macro[:3])
    assert found.macro_recall == pytest.approx(sk.balanced_accuracy_score(target, predicted))
    each = sk.precision_recall_fscore_support(target, predicted, average=None)
    for mine, other in zip((found.precision, found.recall, found.f1), each[:3], strict=True):
        assert mine[:4] == pytest.approx(other) and np.isnan(mine[4])
    micro = sk.precision_recall_fscore_support(target, predicted, average="micro")
    assert [found.accuracy] * 3 == pytest.approx(micro[:3])
    assert np.array_equal(confusion_matrix(target, predicted, CLASSES),
                          sk.confusion_matrix(target, predicted, labels=range(CLASSES)))  # fmt: skip


def test_a_class_never_predicted_has_precision_0_and_one_without_targets_no_recall():
    found = scores(confusion_matrix([0, 0, 1], [0, 2, 0], 4))
    assert found.precision == pytest.approx([0.5, 0, 0, np.nan], nan_ok=True)
    assert found.recall == pytest.approx([0.5, 0, np.nan, np.nan], nan_ok=True)
    assert (found.macro_precision, found.macro_recall, found.macro_f1) == pytest.approx((1 / 6, 1 / 4, 1 / 6))


def test_the_three_that_a_run_keeps():
    found = classification(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 3)
    assert found == pytest.approx({"accuracy": 0.75, "recall": 0.75, "f1": (2 / 3 + 4 / 5) / 2})


def test_weights_are_repetitions(items):
    target, predicted = items[0], items[1].argmax(1)
    weights = np.random.default_rng(1).integers(0, 4, len(target))
    rows = np.repeat(np.arange(len(target)), weights)
    assert np.array_equal(confusion_matrix(target, predicted, CLASSES, weights),
                          confusion_matrix(target[rows], predicted[rows], CLASSES))  # fmt: skip


def test_losses_are_those_of_scikit_learn(items):
    target, probabilities = items
    labels = list(range(CLASSES))
    assert log_loss(target, probabilities) == pytest.approx(sk.log_loss(target, probabilities, labels=labels))
    each = [sk.brier_score_loss(target == k, probabilities[:, k]) for k in labels]
    assert brier_score(target, probabilities) == pytest.approx(sum(each))
    assert log_loss([0], [[0.0, 1.0]]) == np.inf and brier_score([0], [[0.0, 1.0]]) == 2


@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
@pytest.mark.parametrize("bins", [1, 7, 15])
def test_calibration_error_against_bins_filled_one_by_one(items, binning, bins):
    target, probabilities = items
    confidence = probabilities.max(1)
    total = 0.0
    for part in range(bins):
        if binning == "equal-width":
            chosen = [i for i, c in enumerate(confidence) if part / bins < c <= (part + 1) / bins]
        else:
            ranked = sorted(range(len(confidence)), key=lambda i: confidence[i])
            chosen = [i for rank, i in enumerate(ranked) if rank * bins // len(ranked) == part]
        if chosen:
            hits = np.mean([probabilities[i].argmax() == target[i] for i in chosen])
            total += len(chosen) / len(target) * abs(hits - np.mean([confidence[i] for i in chosen]))
    assert expected_calibration_error(target, probabilities, bins=bins, binning=binning) == pytest.approx(total)


def test_calibration_error_of_known_miscalibration():
    """Confidence 0.9, right three times in four: 0.15 off; equal confidences share a bin of equal mass."""
    target, probabilities = np.array([0, 0, 0, 1] * 50), np.tile([0.9, 0.1], (200, 1))
    for binning in ("equal-width", "equal-mass"):
        assert expected_calibration_error(target, probabilities, binning=binning) == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("call", "word"),
    [(lambda: log_loss([0, 1], [[0.5, 0.5]]), "rows"), (lambda: log_loss([2], [[0.5, 0.5]]), "target"),
     (lambda: log_loss([0], [[0.5, 0.6]]), "sum"), (lambda: brier_score([0], [[np.nan, 1.0]]), "NaN"),
     (lambda: brier_score([0], [[-0.5, 1.5]]), "negative"), (lambda: log_loss([0.5], [[0.5, 0.5]]), "integers"),
     (lambda: confusion_matrix([], [], 2), "target"), (lambda: confusion_matrix([0, 1], [0], 2), "predicted"),
     (lambda: confusion_matrix([0, 1], [0, -1], 2), "predicted"), (lambda: scores(np.zeros((2, 2))), "empty"),
     (lambda: expected_calibration_error([0], [[1.0]], bins=0), "bins"),
     (lambda: expected_calibration_error([0], [[1.0]], binning="equal"), "equal-width")],
)  # fmt: skip
def test_wrong_input_is_named(call, word):
    with pytest.raises(InputError, match=word):
        call()
