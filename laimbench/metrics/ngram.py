"""An interpolated modified Kneser-Ney n-gram model over token ids: the baseline a language model has to beat.

Source: Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling", section 3 (modified Kneser-Ney,
interpolated). With counts c of n-grams, C(h) = sum over w of c(hw), and N_k(h) the number of words seen k times (3: or more) after h,

    p(w|h) = max(c(hw) - D[c(hw)], 0) / C(h) + (D1 N1(h) + D2 N2(h) + D3 N3(h)) / C(h) · p(w|h without its first token),

the lowest order interpolated with 1/V, so that a token never seen has a probability too. Counts are raw ones at the longest context that
is there, and below it those of continuation: before how many distinct tokens an n-gram was seen.

An n-gram is a number: its rank among the sorted keys (rank of its first n - 1 tokens) · V + last token. Keys of one order are a sorted
int64 array, so that neither the vocabulary nor the order is bound by 64 bits, and all of counting is sorting.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from laimbench.errors import InputError

ORDER = 5
SCORED_TOGETHER = 1 << 20  # tokens, for the memory's sake
MOST_KEYS = 1 << 62
UNSEEN = -1  # the rank of an n-gram that training does not have
FALLBACK = (0.5, 1.0, 1.5)  # discounts where counts of counts give none (toys, tiny vocabularies), as KenLM's


@dataclass(frozen=True)
class Smoothed:
    """One order with one kind of counts: p(w|h) = share[rank of hw] + rest[rank of h] · p(w|shorter h).

    share: (n-grams,), 0 where an n-gram has none of these counts. rest: (contexts,), 1 where a context has none.
    discounts: D1, D2, D3.
    """

    share: np.ndarray
    rest: np.ndarray
    discounts: tuple[float, ...]


class KneserNey:
    """A model trained on one stream of tokens.

    Time and memory grow as tokens · order: a few million tokens take seconds and some hundred MB.
    """

    def __init__(self, tokens: Any, vocab_size: int, order: int = ORDER):
        """Count and smooth.

        Args:
            tokens: (N,) integers in [0, vocab_size); n-grams run over the ends of its documents, as a model's windows do.
            vocab_size: V: all tokens that may ever come, seen in training or not.
            order: the longest n-gram; 5 is 4 tokens of context.

        Raises:
            InputError: tokens that are no stream of integers below vocab_size, an order below 1.
        """
        if order < 1:
            raise InputError(f"order is {order}, expected 1 or more")
        if vocab_size < 1:
            raise InputError(f"vocab_size is {vocab_size}, expected 1 or more")
        self.vocab_size, self.order = vocab_size, order
        tokens = self._checked("tokens", tokens, 1)
        if not len(tokens) or len(tokens) * vocab_size > MOST_KEYS:
            raise InputError(f"tokens has {len(tokens)} tokens, expected 1 to {MOST_KEYS // vocab_size}")
        self._keys: list[np.ndarray] = []  # (n-grams of the order,) sorted int64
        self._raw: list[Smoothed] = []  # as the longest order
        self._continuation: list[Smoothed] = []  # below a longer one
        for n, (keys, raw, continuation) in enumerate(_counted(tokens, vocab_size, min(order, len(tokens)))):
            context, contexts = keys // vocab_size, len(self._keys[-1]) if n else 1
            self._keys.append(keys)
            self._raw.append(_smooth(raw, context, contexts))
            if continuation is not None:
                self._continuation.append(_smooth(continuation, context, contexts))

    @property
    def discounts(self) -> list[tuple[float, ...]]:
        """D1, D2, D3+ of each order in use at its full context, unigrams first: continuation counts below the longest."""
        return [one.discounts for one in [*self._continuation, self._raw[-1]]]

    def log_probs(self, windows: Any, first: int = 1) -> np.ndarray:
        """Return (n, L - first) float64: log p of windows[:, first:] in nats, negative and finite.

        A token is judged by the order - 1 tokens before it, and at a window's beginning by as many as there are, of the window
        alone: what a model sees that reads windows[:, :-1] and says windows[:, 1:]. There the model of the lower order is taken
        with its raw counts, as one would train it for such contexts, not with the continuation counts of a fallback.

        Args:
            windows: (n, L) integers in [0, vocab_size). A stream is one window; windows of a stream that begin order - 1
                tokens early are scored with full context by first = order - 1.
            first: the first position that is scored; 0 scores a window's first token without context.

        Raises:
            InputError: tokens outside of the vocabulary, another shape, first outside of 0 to L.
        """
        windows = self._checked("windows", windows, 2)
        count, length = windows.shape
        if not 0 <= first <= length:
            raise InputError(f"first is {first}, expected 0 to {length}, the length of a window")
        found = np.empty((count, length - first))
        step = max(1, SCORED_TOGETHER // max(1, length))
        for i in range(0, count, step):
            found[i : i + step] = np.log(self._probabilities(windows[i : i + step])[:, first:])
        return found

    def _probabilities(self, windows: np.ndarray) -> np.ndarray:
        """Return (n, L). One order after the other, of all positions that have so much context."""
        result = np.empty(windows.shape)
        context = np.zeros(windows.shape, dtype=np.int64)  # rank of the n - 1 tokens before; the empty context is one
        lower = np.full(windows.shape, 1 / self.vocab_size)  # p of the order below, by continuation counts
        orders = len(self._keys)
        for n in range(orders):
            # Columns are positions n and later. Only position n ends here, unless this is the longest order.
            tokens = windows[:, n:]
            rank = self._ranks(n, context, tokens)
            ends = slice(None) if n == orders - 1 else slice(0, 1)
            result[:, n:][:, ends] = _interpolate(self._raw[n], rank[:, ends], context[:, ends], lower[:, ends])
            if n < orders - 1:
                lower = _interpolate(self._continuation[n], rank, context, lower)[:, 1:]
                context = rank[:, :-1]
        return result

    def _ranks(self, n: int, context: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Return the ranks of n-grams, UNSEEN of those that training does not have."""
        keys, wanted = self._keys[n], context * self.vocab_size + tokens
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((keys[place] == wanted) & (context != UNSEEN), place, UNSEEN)

    def _checked(self, name: str, tokens: Any, dimensions: int) -> np.ndarray:
        tokens = np.asarray(tokens)
        if tokens.ndim != dimensions or tokens.dtype.kind not in "iu":
            shape = "(N,)" if dimensions == 1 else "(n, L)"
            raise InputError(f"{name} has shape {tokens.shape} and type {tokens.dtype}, expected {shape} integers")
        if tokens.size and (tokens.min() < 0 or tokens.max() >= self.vocab_size):
            raise InputError(
                f"{name} has ids from {tokens.min()} to {tokens.max()}, expected 0 to {self.vocab_size - 1}"
            )
        return tokens.astype(np.int64, copy=False)


def _counted(
    tokens: np.ndarray, vocab_size: int, order: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Yield sorted keys, raw counts and continuation counts (none at the longest order) of unigrams, bigrams, …"""
    ranks = np.zeros(len(tokens), dtype=np.int64)  # of the n - 1 tokens from each place on; the empty context is one
    previous = None
    for n in range(1, order + 1):
        of_places = ranks[: len(tokens) - n + 1] * vocab_size + tokens[n - 1 :]
        keys, example, of_places, raw = np.unique(of_places, return_index=True, return_inverse=True, return_counts=True)
        if previous is not None:
            # Each distinct n-gram is a distinct predecessor of its last n - 1 tokens, which begin a place later than it. The
            # stream's beginning is a predecessor as well.
            shorter, shorter_ranks, shorter_raw = previous
            continuation = np.bincount(shorter_ranks[example + 1], minlength=len(shorter))
            continuation[shorter_ranks[0]] += 1
            yield shorter, shorter_raw, continuation
        previous = keys, of_places, raw
        ranks = of_places
    yield keys, raw, None


def _smooth(counts: np.ndarray, context: np.ndarray, contexts: int) -> Smoothed:
    """Return the discounted shares of n-grams with these counts and contexts, and what each context leaves to lower orders."""
    discounts = _discounts(counts)
    off = np.array([0.0, *discounts])[np.minimum(counts, 3)]
    total = np.bincount(context, counts, contexts)
    rest = np.ones(contexts)
    np.divide(np.bincount(context, off, contexts), total, out=rest, where=total > 0)
    share = np.zeros(len(counts))
    np.divide(counts - off, total[context], out=share, where=counts > 0)
    return Smoothed(share, rest, discounts)


def _discounts(counts: np.ndarray) -> tuple[float, ...]:
    """Return D1, D2, D3+ (Chen & Goodman 1999, equation 17), each above 0 and at most 1, 2, 3: every context leaves something."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if not (n1 and n2 and n3 and n4):
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return tuple(d if d > 0 else other for d, other in zip(found, FALLBACK, strict=True))


def _interpolate(order: Smoothed, rank: np.ndarray, context: np.ndarray, lower: np.ndarray) -> np.ndarray:
    share = np.where(rank != UNSEEN, order.share[rank], 0.0)
    return share + np.where(context != UNSEEN, order.rest[context], 1.0) * lower
