"""Markov chains of order k, clean or with label noise: Dirichlet rows, and bigrams with a power law in every row.

Clean, the entropy rate is the stationary mean of the rows' entropies (Cover & Thomas 2006, theorem 4.2.4), and a window
pays more only for its first k - 1 targets. With noise the tokens seen are a hidden Markov process: see hidden.py.

A context of k tokens is a number in base V, the newest token last. Shapes: W windows, L tokens, V vocabulary.
"""

from dataclasses import dataclass

import numpy as np

from laimbench.data.synthetic.hidden import HiddenMarkov
from laimbench.data.synthetic.options import option
from laimbench.data.synthetic.source import Bounds, SyntheticSource
from laimbench.data.synthetic.tables import add_noise, cumulate, entropy, pick, random_rows, stationary
from laimbench.errors import InputError

MOST_ENTRIES = 1 << 24  # of the transition table: 128 MiB


@dataclass(frozen=True)
class MarkovOptions:
    """``synthetic:markov``: rows drawn from a symmetric Dirichlet; the smaller ``concentration``, the more certain."""

    order: int = option(1, 1, 8)
    states: int = option(64, 2, 4096)
    seed: int = option(0, 0, 2**31)
    concentration: float = option(0.3, 0.001, 1000)
    noise: float = option(0.0, 0, 1)


@dataclass(frozen=True)
class ZipfOptions:
    """``synthetic:zipf-bigram``: the r-th likeliest successor of any token has a probability proportional to r^-exponent."""

    vocab: int = option(1024, 2, 4096)
    exponent: float = option(1.1, 0, 10)
    seed: int = option(0, 0, 2**31)
    noise: float = option(0.0, 0, 1)


def markov(name: str, options: MarkovOptions) -> "MarkovSource":
    """Return a chain of random rows.

    Raises:
        InputError: the table of states^order rows would be too large.
    """
    contexts = options.states**options.order
    if contexts * options.states > MOST_ENTRIES:
        raise InputError(
            f"data {name!r}: states^(order+1) is {contexts * options.states:.3g}, expected to {MOST_ENTRIES}"
        )
    generator = np.random.default_rng((options.seed, 1))
    rows = random_rows(generator, options.concentration, contexts, options.states)
    return MarkovSource(name, rows, options.noise, options.seed)


def zipf_bigram(name: str, options: ZipfOptions) -> "MarkovSource":
    """Return a chain in which all rows are Zipf's law over their own order of successors.

    The orders are drawn by Plackett-Luce with Zipf's weights (sorting log-weights plus Gumbel noise), so that tokens
    are frequent or rare in nearly all rows alike and the tokens' own frequencies follow a power law too. All rows
    have one entropy, log Z + (exponent / Z) sum_r r^-exponent log r with Z = sum_r r^-exponent: the entropy rate.
    """
    law = np.arange(1, options.vocab + 1) ** -options.exponent
    gumbel = np.random.default_rng((options.seed, 2)).gumbel(size=(options.vocab, options.vocab))
    successors = np.argsort(-(np.log(law) + gumbel), axis=1)
    rows = np.empty((options.vocab, options.vocab))
    np.put_along_axis(rows, successors, np.broadcast_to(law / law.sum(), rows.shape), axis=1)
    return MarkovSource(name, rows, options.noise, options.seed)


class NoisyMarkov(HiddenMarkov):
    """The hidden state is the clean context; its newest token is seen, or with probability ``noise`` a uniform one."""

    def __init__(self, transition: np.ndarray, contexts: np.ndarray, noise: float):
        self.transition, self.contexts, self.noise = transition, contexts, noise
        self.vocab_size = transition.shape[1]
        self.step_work = 2.0 * transition.size
        self._cumulative, self._start = cumulate(transition), cumulate(contexts[None])

    def draw(self, generator, count, length):
        keep = len(self.contexts) // self.vocab_size  # what of a context outlives a step, as a modulus
        states = np.empty((count, length), dtype=np.int64)
        states[:, 0] = pick(self._start, np.zeros(count, dtype=np.int64), generator.random(count))
        for n in range(1, length):
            token = pick(self._cumulative, states[:, n - 1], generator.random(count))
            states[:, n] = states[:, n - 1] % keep * self.vocab_size + token
        clean = states % self.vocab_size
        return states, add_noise(generator, clean, self.noise, 0, self.vocab_size)

    def prior(self, count):
        return np.tile(self.contexts, (count, 1))

    def known(self, states):
        belief = np.zeros((len(states), len(self.contexts)))
        belief[np.arange(len(states)), states] = 1.0
        return belief

    def predict(self, belief):
        newest = belief.reshape(len(belief), -1, self.vocab_size).sum(1)
        return (1 - self.noise) * newest + self.noise / self.vocab_size

    def advance(self, belief, tokens, likelihood):
        count, vocab = len(belief), self.vocab_size
        shaped = belief.reshape(count, -1, vocab)
        rows = np.arange(count)
        seen = shaped[rows, :, tokens]
        shaped = shaped * (self.noise / vocab)
        shaped[rows, :, tokens] += (1 - self.noise) * seen
        shaped /= likelihood[:, None, None]
        # (oldest, W, rest) and the table (oldest, rest, V): sum over the oldest, a product for every rest
        by_rest = shaped.reshape(count, vocab, -1).transpose(2, 0, 1)
        moved = by_rest @ self.transition.reshape(vocab, -1, vocab).transpose(1, 0, 2)
        return moved.transpose(1, 0, 2).reshape(count, -1)

    def next_entropy(self):
        by_context = entropy((1 - self.noise) * self.transition + self.noise / self.vocab_size)
        return by_context, float(self.contexts @ by_context)


class MarkovSource(SyntheticSource):
    """A chain given by its table (V^k, V) of next-token probabilities."""

    def __init__(self, name: str, transition: np.ndarray, noise: float = 0.0, seed: int = 0):
        self.name, self.seed, self.transition, self.noise = name, seed, transition, noise
        self.vocab_size = transition.shape[1]
        try:
            self.contexts = stationary(transition)
        except ArithmeticError as error:
            raise InputError(f"data {name!r}: {error}; raise concentration or lower order") from None
        self._process = NoisyMarkov(transition, self.contexts, noise)
        self._short = self._short_contexts()

    def sample(self, generator, count, length):
        return self._process.draw(generator, count, length)[1]

    def entropy_rate(self):
        if self.noise == 1:
            return Bounds.closed_form(np.log(self.vocab_size), "uniform noise")
        if self.noise:
            return self._process.rate
        return Bounds.closed_form(self.contexts @ entropy(self.transition), "stationary mean of the rows' entropies")

    def finite_context_bound(self, seqlen):
        if self.noise == 1:
            return Bounds.closed_form(np.log(self.vocab_size), "uniform noise")
        if self.noise:
            return self._process.context_bound(seqlen)
        short = [weights @ entropy(rows) for weights, rows in self._short[:seqlen]]
        full = self.entropy_rate().middle * (seqlen - len(short))
        return Bounds.closed_form((sum(short) + full) / seqlen, "stationary contexts of 1..order tokens")

    def optimal_losses(self, windows):
        if self.noise:
            return self._process.filtered(windows, self._process.prior(len(windows)))[0][:, 1:]
        losses = np.empty((len(windows), windows.shape[1] - 1))
        context = np.zeros(len(windows), dtype=np.int64)
        for n in range(windows.shape[1] - 1):
            context = (context * self.vocab_size + windows[:, n]) % len(self.contexts)
            rows = self._short[n][1] if n < len(self._short) else self.transition
            losses[:, n] = -np.log(rows[context, windows[:, n + 1]])
        return losses

    def _short_contexts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return for n = 1..order-1 the stationary law of n tokens (V^n,) and of the token after them (V^n, V)."""
        short, joint = [], self.contexts
        while len(joint) > self.vocab_size:
            rows = joint.reshape(-1, self.vocab_size)
            joint = rows.sum(1)
            short.append((joint, rows / joint[:, None]))
        return short[::-1]
