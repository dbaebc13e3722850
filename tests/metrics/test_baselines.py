"""The bag of tokens: against scikit-learn's own pipeline; what word order tells only bigrams see; nothing leaks."""

import sys

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from laimbench.errors import InputError
from laimbench.metrics.baselines import bag_of_tokens

VOCAB = 30


def topics(count, seed):
    """Return items of 5 to 40 tokens and labels: each of three classes has its own distribution of tokens."""
    shares = np.random.default_rng(0).dirichlet(np.full(VOCAB, 0.5), 3)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    return [rng.choice(VOCAB, rng.integers(5, 40), p=shares[k]) for k in labels], labels


@pytest.mark.parametrize("longest", [1, 2])
def test_probabilities_are_those_of_scikit_learns_pipeline(longest):
    (train, labels), (held_out, targets) = topics(150, 1), topics(60, 2)
    found = bag_of_tokens(train, labels, held_out, VOCAB, longest=longest, strengths=(10.0,))
    pipeline = TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, longest), sublinear_tf=True)
    table = pipeline.fit_transform([" ".join(map(str, item)) for item in train])
    model = LogisticRegression(C=10.0, max_iter=1000).fit(table, labels)
    expected = model.predict_proba(pipeline.transform([" ".join(map(str, item)) for item in held_out]))
    assert found.features == table.shape[1] and found.probabilities == pytest.approx(expected, abs=2e-3)
    assert (found.probabilities.argmax(1) == targets).mean() > 0.9


def test_order_is_seen_by_bigrams_only():
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 100)
    items = [np.sort(rng.choice(VOCAB, 10, replace=False))[:: 1 - 2 * k] for k in labels]  # rising, falling
    accuracy = [(bag_of_tokens(items[::2], labels[::2], items[1::2], VOCAB, longest=n).probabilities.argmax(1) == labels[1::2]).mean()
                for n in (1, 2)]  # fmt: skip
    assert accuracy[0] < 0.7 and accuracy[1] > 0.9


def test_little_signal_asks_for_more_regularisation_than_much():
    train, labels = topics(100, 4)
    sharp = bag_of_tokens(train, labels, train[:5], VOCAB, strengths=(1.0, 100.0))
    noise = bag_of_tokens(train, np.random.default_rng(5).permutation(labels), train[:5], VOCAB, strengths=(1.0, 100.0))
    assert (noise.strength, sharp.strength) == (1.0, 100.0)


def test_held_out_items_have_no_part_in_the_fit():
    train, labels = topics(80, 6)
    alone = bag_of_tokens(train, labels, [[1, 2, 3]], VOCAB, longest=2)
    beside = bag_of_tokens(train, labels, [[1, 2, 3], [], [29] * 50, [4, 5]], VOCAB, longest=2)
    assert alone.probabilities[0] == pytest.approx(beside.probabilities[0], abs=1e-12)
    assert beside.probabilities.sum(1) == pytest.approx(np.ones(4))


def test_without_scikit_learn_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(InputError, match=r"pip install 'laimbench\[evaluation\]'"):
        bag_of_tokens([[1], [2]], [0, 1], [[1]], VOCAB)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(([[1], [2]], [0], [[1]], 5), "labels"), (([[1]] * 3, [0, 0, 1], [[1]], 5), "class 1"),
     (([[1]] * 4, [0, 0, 2, 2], [[1]], 5), "class 1"), (([[1]] * 4, [0, 0, 1, 1], [[7]], 5), "below 5"),
     (([[]] * 4, [0, 0, 1, 1], [[1]], 5), "no tokens"), (([[0.5]] * 4, [0, 0, 1, 1], [[1]], 5), "float")],
)  # fmt: skip
def test_wrong_input_is_named(arguments, word):
    with pytest.raises(InputError, match=word):
        bag_of_tokens(*arguments)
    with pytest.raises(InputError, match="longest"):
        bag_of_tokens([[1]] * 4, [0, 0, 1, 1], [[1]], 5, longest=0)
