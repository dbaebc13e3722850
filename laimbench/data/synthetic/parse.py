"""Exact probabilities of strings under a grammar in Greibach form: whole sentences, their beginnings, ends and middles.

Inside probabilities after Baker 1979, beginnings after Jelinek & Lafferty 1991; ends and middles by the same argument
from the other side. For a nonterminal A, tokens i..j of a string, and rules A -> a, A -> a B, A -> a B C:

    inside I_A(i, j)   A derives exactly i..j
    prefix P_A(i, n)   what A derives begins with i..n
    suffix F_A(j)      what A derives ends with 1..j
    count  N_A(n)      expected number of places at which what A derives holds 1..n

A window of the endless stream that begins at a uniform position has the probability N_S(n) / period before its first
separator, F_S(j) / period times the sentences that follow after it.

Shapes: Q strings of length up to T, N nonterminals, V vocabulary. Probabilities are kept near 1 by a factor per token.
"""

import numpy as np

SEPARATOR = 0
BATCH_FLOATS = 400_000  # of one chart: 3 MB, what a cache holds


class Parser:
    """Charts of a grammar; ``emission`` (N, R, V) is what each rule's terminal is seen as."""

    def __init__(self, grammar, emission: np.ndarray):
        count = len(grammar.probability)
        self.count, self.period = count, grammar.period
        weighted = grammar.probability[..., None] * emission  # (N, R, V)
        first, second = grammar.children[..., 0], grammar.children[..., 1]
        arity = (grammar.children >= 0).sum(2)
        vocab = emission.shape[2]
        self.alone = np.zeros((vocab, count))  # A -> a, by token seen
        self.one = np.zeros((vocab, count, count))  # A -> a B
        self.two = np.zeros((vocab, count, count * count))  # A -> a B C
        for a in range(count):
            for rule in range(weighted.shape[1]):
                if arity[a, rule] == 0:
                    self.alone[:, a] += weighted[a, rule]
                elif arity[a, rule] == 1:
                    self.one[:, a, first[a, rule]] += weighted[a, rule]
                else:
                    self.two[:, a, first[a, rule] * count + second[a, rule]] += weighted[a, rule]
        pairs = self.two.sum(0).reshape(count, count, count)
        identity = np.eye(count)
        last = self.one.sum(0) + pairs.sum(1)
        self.suffix_solve = np.linalg.inv(identity - last)
        self.count_solve = np.linalg.inv(identity - grammar.expected_children)
        self.pairs = pairs.reshape(count, count * count)
        # Tokens have this mean log-probability, more or less: dividing by it keeps long strings from underflow.
        self.log_scale = float(np.log(vocab) * 0.7)
        self.scale = np.exp(self.log_scale)

    def losses(self, strings: list[np.ndarray], from_start: bool) -> list[np.ndarray]:
        """Return for each string (without separator) the loss of its tokens given the earlier ones, and one loss more:

        of a separator after them. ``from_start``: the string begins a sentence; else at a uniform position of the
        endless stream (an empty one: the stream is at a separator).
        """
        found = [np.array([np.inf if from_start else np.log(self.period)])] * len(strings)  # of the empty ones
        for chosen, tokens, lengths in _batches(strings, self.count):
            inside, prefix = self._charts(tokens)
            begun, ended = prefix[:, 0, :, 0], inside[:, 0, :, 0]
            if not from_start:
                begun, ended = self._from_the_middle(inside, prefix)
            with np.errstate(divide="ignore", invalid="ignore"):
                for q, i in enumerate(chosen):
                    n = lengths[q]
                    losses = -np.diff(np.log(begun[q, :n]), prepend=0.0, append=np.log(ended[q, n - 1]))
                    losses[:-1] += self.log_scale
                    found[i] = np.where(np.isnan(losses), np.inf, losses)  # after what is impossible
        return found

    def _charts(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return inside and prefix (Q, T, T, N), first and last token as indices; padding does no harm on the right."""
        strings, length = tokens.shape
        shape = (strings, length, length, self.count)
        inside, prefix = np.zeros(shape), np.zeros(shape)
        for i in reversed(range(length)):
            seen = tokens[:, i]
            alone, one, two = (table[seen] * self.scale for table in (self.alone, self.one, self.two))
            inside[:, i, i] = alone
            prefix[:, i, i] = alone + one.sum(2) + two.sum(2)
            if i + 1 == length:
                continue
            left = inside[:, i + 1, i + 1 : length - 1].transpose(0, 2, 1)  # (Q, B, k): B derives i+1..k
            for chart in (inside, prefix):
                ends = length - i - 1
                right = chart[:, i + 2 :, i + 1 :].reshape(strings, ends - 1, ends * self.count)  # (Q, k + 1, j C)
                joined = (
                    (left @ right).reshape(strings, self.count, ends, self.count).transpose(0, 2, 1, 3)
                )  # (Q, j, B, C)
                if chart is prefix:  # or B alone covers all that is seen, and C is free
                    joined = joined + chart[:, i + 1, i + 1 :, :, None]
                single = chart[:, i + 1, i + 1 :]
                pairs = joined.reshape(strings, ends, self.count**2)
                chart[:, i, i + 1 :] = single @ one.transpose(0, 2, 1) + pairs @ two.transpose(0, 2, 1)
        return inside, prefix

    def _from_the_middle(self, inside: np.ndarray, prefix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (Q, T) each: N_S(n) / period and F_S(j) / period of strings that begin anywhere in a sentence."""
        strings, length = inside.shape[:2]
        suffix, places = np.zeros((strings, length, self.count)), np.zeros((strings, length, self.count))
        for j in range(length):
            ends = begun = 0.0
            if j:
                left = suffix[:, :j].transpose(0, 2, 1)  # (Q, B, k): the string's first k end what B derives
                ends = (left @ inside[:, 1 : j + 1, j]).reshape(strings, -1) @ self.pairs.T
                begun = (left @ prefix[:, 1 : j + 1, j]).reshape(strings, -1) @ self.pairs.T
            suffix[:, j] = (inside[:, 0, j] + ends) @ self.suffix_solve.T
            places[:, j] = (prefix[:, 0, j] + begun) @ self.count_solve.T
        return places[..., 0] / self.period, suffix[..., 0] / self.period


def _batches(strings: list[np.ndarray], count: int):
    """Yield (indices, padded tokens, lengths) of strings of like length, so that a batch's charts stay small."""
    lengths = np.array([len(string) for string in strings])
    order = np.argsort(lengths, kind="stable")
    first = int((lengths == 0).sum())  # the empty ones need no chart
    while first < len(order):
        # the longest of a batch decides its charts: grow the batch while they fit
        last = first + 1
        while last < len(order) and (last + 1 - first) * lengths[order[last]] ** 2 * count <= BATCH_FLOATS:
            last += 1
        chosen = order[first:last]
        tokens = np.ones((len(chosen), lengths[chosen[-1]]), dtype=np.int64)
        for q, i in enumerate(chosen):
            tokens[q, : lengths[i]] = strings[i]
        yield chosen, tokens, lengths[chosen]
        first = last
