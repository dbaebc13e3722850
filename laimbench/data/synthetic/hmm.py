"""``synthetic:hmm``: a hidden chain of states, each with its own distribution over tokens (Rabiner 1989)."""

from dataclasses import dataclass

import numpy as np

from laimbench.data.synthetic.hidden import HiddenMarkov
from laimbench.data.synthetic.options import option
from laimbench.data.synthetic.source import SyntheticSource
from laimbench.data.synthetic.tables import cumulate, entropy, pick, random_rows, stationary


@dataclass(frozen=True)
class HMMOptions:
    """Transitions and emissions are drawn from symmetric Dirichlets of ``concentration`` and ``emission``."""

    states: int = option(16, 1, 1024)
    vocab: int = option(64, 2, 4096)
    seed: int = option(0, 0, 2**31)
    concentration: float = option(0.2, 0.001, 1000)
    emission: float = option(0.1, 0.001, 1000)
    noise: float = option(0.0, 0, 1)


def hmm(name: str, options: HMMOptions) -> "HMMSource":
    """Return a random hidden Markov source; noise mixes every emission with the uniform distribution."""
    generator = np.random.default_rng((options.seed, 3))
    transition = random_rows(generator, options.concentration, options.states, options.states)
    emission = random_rows(generator, options.emission, options.states, options.vocab)
    return HMMSource(name, transition, (1 - options.noise) * emission + options.noise / options.vocab, options.seed)


class DenseHMM(HiddenMarkov):
    """Transition (K, K), emission (K, V)."""

    def __init__(self, transition: np.ndarray, emission: np.ndarray):
        self.transition, self.emission = transition, emission
        self.vocab_size = emission.shape[1]
        self.step_work = 2.0 * (transition.size + emission.size)
        self.weights = stationary(transition)
        self._moves, self._emits = cumulate(transition), cumulate(emission)
        self._start = cumulate(self.weights[None])

    def draw(self, generator, count, length):
        states = np.empty((count, length), dtype=np.int64)
        states[:, 0] = pick(self._start, np.zeros(count, dtype=np.int64), generator.random(count))
        for n in range(1, length):
            states[:, n] = pick(self._moves, states[:, n - 1], generator.random(count))
        tokens = pick(self._emits, states.ravel(), generator.random(states.size)).reshape(states.shape)
        return states, tokens

    def prior(self, count):
        return np.tile(self.weights, (count, 1))

    def known(self, states):
        return np.eye(len(self.weights))[states]

    def predict(self, belief):
        return belief @ self.emission

    def advance(self, belief, tokens, likelihood):
        return (belief * self.emission[:, tokens].T / likelihood[:, None]) @ self.transition

    def next_entropy(self):
        by_state = entropy(self.transition @ self.emission)
        return by_state, float(self.weights @ by_state)


class HMMSource(SyntheticSource):
    """A hidden Markov process given by its transition (K, K) and emission (K, V) probabilities."""

    def __init__(self, name: str, transition: np.ndarray, emission: np.ndarray, seed: int = 0):
        self.name, self.seed, self.vocab_size = name, seed, emission.shape[1]
        self.process = DenseHMM(transition, emission)

    def sample(self, generator, count, length):
        return self.process.draw(generator, count, length)[1]

    def entropy_rate(self):
        return self.process.rate

    def finite_context_bound(self, seqlen):
        return self.process.context_bound(seqlen)

    def optimal_losses(self, windows):
        return self.process.filtered(windows, self.process.prior(len(windows)))[0][:, 1:]
