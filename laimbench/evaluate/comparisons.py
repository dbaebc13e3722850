"""Baselines on the same held-out items: what a model that is not beaten by them has learnt from order and long context."""

from typing import Any

import numpy as np

from laimbench.data import LabelledTexts, Tokens
from laimbench.evaluate.classes import Classified
from laimbench.evaluate.figures import figure
from laimbench.evaluate.language import Scored
from laimbench.metrics.baselines import bag_of_tokens
from laimbench.metrics.bootstrap import ratio_interval
from laimbench.metrics.ngram import ORDER, KneserNey
from laimbench.train.tasks.bert import BERTTask
from laimbench.train.tasks.gpt import GPTTask

MOST_NGRAM_TOKENS = 1 << 24  # of training text: some GB at five orders
DRAWN_ROWS = 256  # in which a synthetic source's training tokens are drawn
MOST_BAG_ITEMS = 20_000  # training items of the linear models: a minute
BAGS = {"bag of words": 1, "bag of 1-2-grams": 2}


def compare_ngram(task: GPTTask, scored: Scored, trained_tokens: int) -> list[dict[str, Any]]:
    """Return what an interpolated modified Kneser-Ney 5-gram reaches on the same windows, and the model less it, paired.

    It is trained on the training text, as far as MOST_NGRAM_TOKENS; of a synthetic source, which is endless, on as many tokens
    as the model. In bits per byte, of synthetic data per token.
    """
    data = task.data
    if isinstance(data, Tokens):
        tokens = data.train[:MOST_NGRAM_TOKENS]
    else:
        length = max(2, min(trained_tokens, MOST_NGRAM_TOKENS) // DRAWN_ROWS)
        tokens = data.train_windows(task.config.seed, 0, DRAWN_ROWS, length).ravel()
    losses = -KneserNey(tokens, data.vocab_size).log_probs(scored.windows)
    unit = "bits per token" if scored.byte_counts is None else "bits per byte"
    below = scored.losses.shape[1] if scored.byte_counts is None else scored.byte_counts
    baseline = ratio_interval(losses.sum(1) / np.log(2), below, scored.clusters)
    difference = ratio_interval((scored.losses - losses).sum(1) / np.log(2), below, scored.clusters)
    name = f"Kneser-Ney {ORDER}-gram"
    figures = [figure(name, unit, baseline), figure(f"model less {name}", unit, difference)]
    return [{"baseline": name, "trained_on": f"{len(tokens):,} tokens", "figures": figures}]


def compare_bag(task: BERTTask, classified: Classified, held_out: list[tuple]) -> list[dict[str, Any]]:
    """Return what logistic regression on bags of words and of 1-2-grams reaches on the same items, and the model less it, paired.

    Args:
        task: on labelled texts.
        classified: what the model says of the held-out items.
        held_out: the batches that it was asked of: tokens (B, S), lengths (B,), classes (B,).
    """
    data: LabelledTexts = task.data
    count = data.train_size
    # Items lie class by class: a part of them is spread evenly.
    positions = np.unique(np.linspace(0, count - 1, min(count, MOST_BAG_ITEMS)).astype(np.int64))
    train_rows, train_lengths, labels = data.at(data.sets.train, positions)
    train = _texts(train_rows, train_lengths)
    asked = [text for rows, lengths, _ in held_out for text in _texts(rows.numpy(), lengths.numpy())]
    compared = []
    for name, longest in BAGS.items():
        bag = bag_of_tokens(train, labels, asked, data.special.total, longest=longest)
        hits = bag.probabilities.argmax(1) == classified.target
        difference = ratio_interval(classified.hits.astype(float) - hits, 1)
        figures = [
            figure(name, "accuracy", ratio_interval(hits, 1)),
            figure(f"model less {name}", "accuracy", difference),
        ]
        compared.append({"baseline": name, "trained_on": f"{len(train):,} texts", "figures": figures})
    return compared


def _texts(rows: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Return the tokens of each text, without the first, which all have, and without padding."""
    return [row[1:length] for row, length in zip(rows, lengths, strict=True)]
