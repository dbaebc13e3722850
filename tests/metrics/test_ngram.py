"""The n-gram model: against dicts, a distribution at every context, better with every order, near an entropy that is known."""

import argparse
import ast
import inspect
import json.decoder
import math
import typing
from collections import Counter, defaultdict

import numpy as np
import pytest

from laimbench.errors import InputError
from laimbench.metrics.ngram import FALLBACK, KneserNey

VOCAB = 9


class Slow:
    """The same model from the formulas: dicts of tuples, one probability at a time."""

    def __init__(self, tokens, vocab, order):
        self.vocab, self.order = vocab, order
        self.raw, self.lower, self.discounts = {}, {}, {}
        for n in range(1, order + 1):
            self.raw[n] = Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
            before = defaultdict(set)
            for i in range(len(tokens) - n + 1):
                before[tuple(tokens[i : i + n])].add(tokens[i - 1] if i else "beginning")
            self.lower[n] = {gram: len(found) for gram, found in before.items()}
            for counts in (self.raw, self.lower):
                self.discounts[id(counts), n] = self.discounts_of(counts[n])

    @staticmethod
    def discounts_of(counts):
        n1, n2, n3, n4 = (sum(c == k for c in counts.values()) for k in (1, 2, 3, 4))
        if 0 in (n1, n2, n3, n4):
            return 0.5, 1.0, 1.5
        y = n1 / (n1 + 2 * n2)
        found = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
        return tuple(d if d > 0 else k / 2 for k, d in enumerate(found, 1))

    def probability(self, token, context, table=None):
        table = table or self.raw
        n = len(context) + 1
        below = self.probability(token, context[1:], self.lower) if context else 1 / self.vocab
        after = {gram[-1]: c for gram, c in table[n].items() if gram[:-1] == context}
        if not after:
            return below
        discounts = self.discounts[id(table), n]
        total = sum(after.values())
        off = {w: discounts[min(c, 3) - 1] for w, c in after.items()}
        return (after.get(token, 0) - off.get(token, 0)) / total + sum(off.values()) / total * below

    def log_probs(self, windows, first):
        return [[math.log(self.probability(window[i], tuple(window[max(0, i - self.order + 1) : i])))
                 for i in range(first, len(window))] for window in windows.tolist()]  # fmt: skip


def toy(count, seed=0):
    """Return tokens of a skewed first-order chain over VOCAB - 1 tokens: the last one never comes."""
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.full(VOCAB - 1, 0.3), VOCAB - 1)
    tokens = [0]
    while len(tokens) < count:
        tokens.append(int(rng.choice(VOCAB - 1, p=table[tokens[-1]])))
    return np.array(tokens)


@pytest.mark.parametrize(("count", "order"), [(1, 3), (2, 5), (40, 5), (300, 3), (300, 1), (900, 5)])
@pytest.mark.parametrize("first", [0, 1])
def test_every_probability_is_that_of_the_formulas(count, order, first):
    tokens = toy(count)
    windows = np.random.default_rng(1).integers(0, VOCAB, (12, 7))
    windows[:6, :] = toy(48, seed=2)[6:].reshape(6, 7)  # half of them likely, half unlike training
    found = KneserNey(tokens, VOCAB, order).log_probs(windows, first)
    assert found == pytest.approx(np.array(Slow(tokens.tolist(), VOCAB, order).log_probs(windows, first)), rel=1e-12)


def test_the_comparison_with_the_formulas_met_discounts_of_both_kinds():
    """The 900 tokens above are enough for estimated discounts at the longest order, and too few at the shortest."""
    discounts = KneserNey(toy(900), VOCAB, 5).discounts
    assert discounts[0] == FALLBACK and discounts[-1] != FALLBACK and len(discounts) == 5


def test_probabilities_sum_to_one_in_every_context():
    model = KneserNey(toy(500), VOCAB, 4)
    seen, unseen = toy(500)[100:103], np.full(3, VOCAB - 1)
    half_seen = np.array([VOCAB - 1, *seen[1:]])
    for context in (seen, unseen, half_seen, seen[:2], seen[:1], unseen[:1], seen[:0]):
        windows = np.column_stack([np.tile(context, (VOCAB, 1)), np.arange(VOCAB)]).astype(np.int64)
        probabilities = np.exp(model.log_probs(windows, first=len(context))[:, 0])
        assert probabilities.sum() == pytest.approx(1, abs=1e-12) and probabilities.min() > 0, context


def test_a_windows_beginning_is_scored_as_by_a_model_of_that_order():
    """So a short context is not punished with the continuation counts of a fallback."""
    tokens, windows = toy(800), toy(800, seed=3)[:700].reshape(100, 7)
    found = KneserNey(tokens, VOCAB, 4).log_probs(windows, first=0)
    for position in range(7):
        shorter = KneserNey(tokens, VOCAB, min(position + 1, 4)).log_probs(windows, first=0)
        assert np.array_equal(found[:, position], shorter[:, position])


def test_windows_see_nothing_before_them_unless_it_is_given():
    model, stream = KneserNey(toy(800), VOCAB, 5), toy(800, seed=4)
    whole = model.log_probs(stream[None], first=4)[0]
    with_context = model.log_probs(np.lib.stride_tricks.sliding_window_view(stream, 10)[::6], first=4)
    assert np.array_equal(with_context.ravel(), whole[: with_context.size])
    alone = model.log_probs(stream[4:794].reshape(-1, 10), first=0)
    assert (alone[:, 4:] == whole[:790].reshape(-1, 10)[:, 4:]).all() and (
        alone[1:, :4] != whole[10:790].reshape(-1, 10)[:, :4]
    ).any()


def test_parts_of_many_windows_fit_together(monkeypatch):
    model, windows = KneserNey(toy(300), VOCAB, 3), toy(300, seed=5).reshape(-1, 6)
    whole = model.log_probs(windows)
    monkeypatch.setattr("laimbench.metrics.ngram.SCORED_TOGETHER", 20)
    assert np.array_equal(model.log_probs(windows), whole) and whole.shape == (50, 5)


def test_it_comes_near_the_entropy_of_a_chain_of_its_order_and_no_shorter_one_does():
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.full(6, 0.5), (6, 6))
    draws, ends, tokens = rng.random(60_000), table.cumsum(-1).tolist(), [0, 0]
    for u in draws.tolist():
        row = ends[tokens[-2]][tokens[-1]]
        tokens.append(next((k for k in range(5) if u < row[k]), 5))
    train, held_out = np.array(tokens[:50_000]), np.array(tokens[50_000:])
    best = -np.log(table[held_out[:-2], held_out[1:-1], held_out[2:]]).mean()
    losses = [-KneserNey(train, 6, order).log_probs(held_out[None], first=2).mean() for order in (1, 2, 3)]
    assert best < losses[2] < best + 0.01 and losses[0] > losses[1] > best + 0.1


def test_every_order_helps_on_source_code():
    train = np.concatenate([np.frombuffer(inspect.getsource(m).encode(), np.uint8) for m in (ast, inspect, typing)])
    held_out = np.frombuffer(inspect.getsource(argparse).encode(), np.uint8)[None]
    losses = [-KneserNey(train, 256, order).log_probs(held_out, first=4).mean() / math.log(2) for order in range(1, 6)]
    assert losses == sorted(losses, reverse=True) and losses[4] < 2.5 < 4 < losses[0], losses
    unlike = np.frombuffer(inspect.getsource(json.decoder).encode()[::-1], np.uint8)[None]
    assert -KneserNey(train, 256).log_probs(unlike).mean() / math.log(2) > 1.5 * losses[4]


def test_a_large_vocabulary_does_not_overflow():
    """Five ids of 20 bits do not fit 64 bits side by side."""
    ids = (1 << 20) - 1 - toy(400)
    windows = (1 << 20) - 1 - toy(70, seed=6).reshape(10, 7)
    expected = Slow(ids.tolist(), 1 << 20, 5).log_probs(windows, 1)
    assert KneserNey(ids, 1 << 20).log_probs(windows) == pytest.approx(np.array(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "word"),
    [(lambda: KneserNey([], 5), "tokens"), (lambda: KneserNey([0.5], 5), "integers"), (lambda: KneserNey([5], 5), "0 to 4"),
     (lambda: KneserNey([[1]], 5), "shape"), (lambda: KneserNey([1], 5, 0), "order"), (lambda: KneserNey([1], 0), "vocab_size"),
     (lambda: KneserNey([1], 5).log_probs([1, 2]), "windows"), (lambda: KneserNey([1], 5).log_probs([[1, 7]]), "0 to 4"),
     (lambda: KneserNey([1], 5).log_probs([[1, 2]], first=3), "first")],
)  # fmt: skip
def test_wrong_input_is_named(call, word):
    with pytest.raises(InputError, match=word):
        call()
