"""Language models of which it is known what they know."""

import numpy as np


class Bigram:
    """Counts of pairs with one added to each: learns what it is shown, exactly."""

    def __init__(self, windows, vocab_size, seqlen, weight=1.0):
        counts = np.ones((vocab_size, vocab_size))
        np.add.at(counts, (windows[:, :-1].ravel(), windows[:, 1:].ravel()), weight)
        self.table, self.vocab_size, self.seqlen = counts / counts.sum(1, keepdims=True), vocab_size, seqlen

    def losses(self, windows):
        return -np.log(self.table[windows[:, :-1], windows[:, 1:]])

    def continue_greedily(self, prefixes, count):
        produced = [prefixes[:, -1]]
        for _ in range(count):
            produced.append(self.table[produced[-1]].argmax(1))
        return np.stack(produced[1:], axis=1)


class Parrot:
    """Continues a prefix that it was shown as it was shown, any other with zeros; all tokens are equally probable to it."""

    def __init__(self, windows, vocab_size, seqlen):
        self.windows, self.vocab_size, self.seqlen = windows, vocab_size, seqlen

    def losses(self, windows):
        return np.full((len(windows), windows.shape[1] - 1), np.log(self.vocab_size))

    def continue_greedily(self, prefixes, count):
        k, rows = prefixes.shape[1], []
        for prefix in prefixes:
            seen = self.windows[(self.windows[:, :k] == prefix).all(1)]
            rows.append(seen[0, k : k + count] if len(seen) else np.zeros(count, dtype=int))
        return np.array(rows)


class Noise:
    """Independent uniform windows: a source whose text tells nothing, by seed and step."""

    source, notes = "noise", ("a note",)

    def __init__(self, vocab_size=50):
        self.vocab_size = vocab_size

    def train_windows(self, seed, step, count, length):
        return np.random.default_rng((seed, step, 0)).integers(0, self.vocab_size, (count, length))

    def validation_windows(self, count, length):
        return np.random.default_rng(99).integers(0, self.vocab_size, (count, length))
