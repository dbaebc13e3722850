"""What a linear model reaches on bags of tokens: the baseline a classifier of sequences has to beat. Needs scikit-learn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.metrics.classification import log_loss

STRENGTHS = (1.0, 10.0, 100.0, 1000.0)  # C; rows have length 1, so that little regularisation is the rule
CHOOSING_SHARE = 0.2  # of each class of the training set
MOST_STEPS = 1000  # of L-BFGS


@dataclass(frozen=True)
class BagOfTokens:
    """Class probabilities (n, classes) of the held-out items, the chosen C, and how many features there are."""

    probabilities: np.ndarray
    strength: float
    features: int


def bag_of_tokens(
    train: Sequence[Any],
    labels: Any,
    held_out: Sequence[Any],
    vocab_size: int,
    *,
    longest: int = 1,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> BagOfTokens:
    """Return the held-out class probabilities of multinomial logistic regression on token counts.

    Features are the n-grams of the training set, up to ``longest`` tokens, as tf-idf: (1 + log count) · (1 + log((1 + items) /
    (1 + items with it))), rows of Euclidean length 1. C has the least log loss on a fifth of each class of the training set, which
    is not trained on for that; then all of the training set is. Held-out items have no part in any of it.

    Args:
        train, held_out: token ids of each item, (length,) integers in [0, vocab_size), without padding.
        labels: (len(train),) integers from 0 on, each class with two items or more.
        vocab_size: V.
        longest: 1 is a bag of words, 2 a bag of 1-2-grams.
        strengths: of C, the inverse of the L2 regularisation.
        seed: of the choice of the fifth.

    Raises:
        InputError: scikit-learn is not installed, arrays that do not match, ids outside of the vocabulary, a class with fewer
            than two items.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise InputError("baselines need the package scikit-learn: pip install 'laimbench[evaluation]'") from None
    labels = _labels(labels, len(train))
    if longest < 1 or not strengths or not min(strengths) > 0:
        raise InputError(f"longest is {longest}, strengths {list(strengths)}, expected 1 or more, and positive numbers")
    rows, columns, features = _terms(train, held_out, vocab_size, longest)
    if not features:
        raise InputError("train has no tokens, expected one or more")
    items = len(train) + len(held_out)
    choosing = _choosing(labels, seed)

    def fitted(of_rows: np.ndarray, of_items: np.ndarray, strength: float) -> np.ndarray:
        table = _tf_idf(rows, columns, items, features, of_rows)
        model = LogisticRegression(C=strength, max_iter=MOST_STEPS)
        return model.fit(table[of_rows], labels[of_rows]).predict_proba(table[of_items])

    trained, chosen_by = np.flatnonzero(~choosing), np.flatnonzero(choosing)
    losses = [log_loss(labels[chosen_by], fitted(trained, chosen_by, c)) for c in strengths]
    best = strengths[int(np.argmin(losses))]
    probabilities = fitted(np.arange(len(train)), np.arange(len(train), items), best)
    return BagOfTokens(probabilities, best, features)


def _labels(labels: Any, items: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (items,) or labels.dtype.kind not in "iu" or not items or labels.min() < 0:
        raise InputError(
            f"labels has shape {labels.shape} and type {labels.dtype}, expected ({items},) integers from 0 on"
        )
    counts = np.bincount(labels)
    if len(counts) < 2 or counts.min() < 2:
        raise InputError(f"class {counts.argmin()} of {len(counts)} has {counts.min()} training items, expected two classes "
                         "or more, of two items or more")  # fmt: skip
    return labels.astype(np.int64)


def _choosing(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return (items,) bool: a share of each class, one item at least, by which C is chosen."""
    rng, chosen = np.random.default_rng(seed), np.zeros(len(labels), dtype=bool)
    for label in range(labels.max() + 1):
        of_class = rng.permutation(np.flatnonzero(labels == label))
        chosen[of_class[: max(1, int(CHOOSING_SHARE * len(of_class)))]] = True
    return chosen


def _terms(
    train: Sequence[Any], held_out: Sequence[Any], vocab_size: int, longest: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return item and feature of every n-gram that the training set has, and how many features there are."""
    sequences = [np.asarray(s, dtype=np.int64 if len(s) == 0 else None) for s in [*train, *held_out]]
    for s in sequences:
        if s.ndim != 1 or s.dtype.kind not in "iu" or (s.size and (s.min() < 0 or s.max() >= vocab_size)):
            raise InputError(
                f"an item has shape {s.shape} and type {s.dtype}, expected (length,) ids below {vocab_size}"
            )
    if vocab_size**longest >= 1 << 62:
        raise InputError(f"longest is {longest}, too many {longest}-grams of a vocabulary of {vocab_size}")
    rows, columns, features = [], [], 0
    tokens = np.concatenate(sequences).astype(np.int64)
    item = np.repeat(np.arange(len(sequences)), [len(s) for s in sequences])
    keys, of = np.zeros(len(tokens), dtype=np.int64), item
    for n in range(1, longest + 1):
        within = item[n - 1 :] == of[: len(item) - n + 1]  # the n-gram does not run into the next item
        keys = keys[: len(tokens) - n + 1] * vocab_size + tokens[n - 1 :]
        found, owner = keys[within], of[: len(keys)][within]
        known = np.unique(found[owner < len(train)])
        place = np.searchsorted(known, found)
        seen = place < len(known)
        seen[seen] = known[place[seen]] == found[seen]
        rows.append(owner[seen])
        columns.append(place[seen] + features)
        features += len(known)
    return np.concatenate(rows), np.concatenate(columns), features


def _tf_idf(rows: np.ndarray, columns: np.ndarray, items: int, features: int, of_rows: np.ndarray) -> Any:
    """Return a sparse (items, features) table; the weights of features are those of the items of_rows."""
    from scipy.sparse import csr_array

    table = csr_array((np.ones(len(rows)), (rows, columns)), shape=(items, features))
    table.sum_duplicates()
    having = np.bincount(table[of_rows].indices, minlength=features)
    idf = np.where(
        having > 0, 1 + np.log((1 + len(of_rows)) / (1 + having)), 0.0
    )  # nothing can be learnt of the others
    table.data = (1 + np.log(table.data)) * idf[table.indices]
    lengths = np.sqrt(np.bincount(np.repeat(np.arange(items), np.diff(table.indptr)), table.data**2, items))
    table.data /= np.repeat(np.where(lengths > 0, lengths, 1.0), np.diff(table.indptr))
    return table
