"""Entropy of hidden Markov processes by filtering: the forward algorithm over many windows at once.

For a stationary hidden Markov process with states S and tokens Y (Cover & Thomas 2006, theorem 4.5.1; Birch 1962)

    H(Y_n | Y_1..Y_n-1, S_1)  <=  H  <=  H(Y_n | Y_1..Y_n-1)

and both sides converge to the entropy rate H. Each is the expectation of the entropy of a predictive distribution,
which the forward algorithm gives exactly for a drawn past, so that only the average over pasts is Monte Carlo. The
entropy given the true state, H(Y_n | S_n-1 = s), whose mean is known, serves as control variate.

Shapes: W windows, L tokens, K hidden states, V vocabulary.
"""

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

from laimbench.data.synthetic.source import Bounds, Estimate, estimate
from laimbench.data.synthetic.tables import entropy

RATE_LENGTH = 256  # the bounds are averaged over n from half of it to all of it
RATE_WORK = 1e10  # floating-point operations that an estimate may cost: about a second
WINDOWS = (64, 1024)  # at least, at most
ESTIMATE_SEED = 20_240_229


class HiddenMarkov(ABC):
    """A hidden Markov process; S_1 emits Y_1. Beliefs are distributions over hidden states, one per window."""

    vocab_size: int
    step_work: float  # operations of one filtering step per window

    @abstractmethod
    def draw(self, generator: np.random.Generator, count: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return hidden states (W, L) and tokens (W, L) of independent stationary windows."""

    @abstractmethod
    def prior(self, count: int) -> np.ndarray:
        """Return W times the stationary belief."""

    @abstractmethod
    def known(self, states: np.ndarray) -> np.ndarray:
        """Return the beliefs that are certain of ``states`` (W,)."""

    @abstractmethod
    def predict(self, belief: np.ndarray) -> np.ndarray:
        """Return the distribution (W, V) of the token that the believed state emits."""

    @abstractmethod
    def advance(self, belief: np.ndarray, tokens: np.ndarray, likelihood: np.ndarray) -> np.ndarray:
        """Condition the belief on the tokens (W,) that were seen with ``likelihood`` (W,) and move one step on."""

    @abstractmethod
    def next_entropy(self) -> tuple[np.ndarray, float]:
        """Return H(Y_n+1 | S_n = s) of every s (K,) and its stationary mean."""

    def filtered(self, tokens: np.ndarray, belief: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return -log p of each token (W, L) given the earlier ones, and the entropy (W, L) of that prediction."""
        count, length = tokens.shape
        losses, entropies = np.empty((count, length)), np.empty((count, length))
        rows = np.arange(count)
        for n in range(length):
            prediction = self.predict(belief)
            likelihood = prediction[rows, tokens[:, n]]
            losses[:, n], entropies[:, n] = -np.log(likelihood), entropy(prediction)
            if n + 1 < length:
                belief = self.advance(belief, tokens[:, n], likelihood)
        return losses, entropies

    @cached_property
    def rate(self) -> Bounds:
        """The entropy rate between Birch's bounds, averaged over n in (RATE_LENGTH/2, RATE_LENGTH]."""
        states, tokens, control, control_mean = self._sample(RATE_LENGTH, passes=2)
        late = slice(RATE_LENGTH // 2, RATE_LENGTH)
        ends: list[Estimate] = []
        for belief in (self.known(states[:, 0]), self.prior(len(tokens))):
            _, entropies = self.filtered(tokens, belief)
            ends.append(estimate(entropies[:, late].mean(1), control[:, late].mean(1), control_mean))
        return Bounds.between(*ends, method="Birch bounds, forward algorithm, Monte Carlo over pasts")

    def context_bound(self, seqlen: int) -> Bounds:
        """Return the mean of H(Y_n+1 | Y_1..Y_n) over n = 1..seqlen."""
        _, tokens, control, control_mean = self._sample(seqlen + 1, passes=1)
        _, entropies = self.filtered(tokens, self.prior(len(tokens)))
        found = estimate(entropies[:, 1:].mean(1), control[:, 1:].mean(1), control_mean)
        return Bounds.between(found, found, method="forward algorithm, Monte Carlo over windows")

    def _sample(self, length: int, passes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        count = int(np.clip(RATE_WORK / (self.step_work * length * passes), *WINDOWS))
        states, tokens = self.draw(np.random.default_rng(ESTIMATE_SEED), count, length)
        by_state, mean = self.next_entropy()
        control = np.empty(tokens.shape)  # of the token at n: given the state at n - 1
        control[:, 1:] = by_state[states[:, :-1]]
        control[:, 0] = mean
        return states, tokens, control, mean
