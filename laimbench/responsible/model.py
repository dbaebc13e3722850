"""What a probe asks of a language model: losses and greedy continuations, whatever library it is made with."""

from typing import Protocol

import numpy as np

from laimbench.errors import InputError


class LanguageModel(Protocol):
    """A causal model over ``vocab_size`` tokens that reads up to ``seqlen`` of them.

    n windows of L tokens, L up to seqlen + 1, are an (n, L) integer array.
    """

    vocab_size: int
    seqlen: int

    def losses(self, windows: np.ndarray) -> np.ndarray:
        """Return (n, L - 1) floats: -log p(windows[:, i] | windows[:, :i]) in nats, for i = 1 … L - 1."""

    def continue_greedily(self, prefixes: np.ndarray, count: int) -> np.ndarray:
        """Return (n, count) integers: after prefixes (n, k) the most probable token, ``count`` times in turn."""


def checked_losses(model: LanguageModel, windows: np.ndarray) -> np.ndarray:
    """Return the model's losses (n, L - 1) as float64.

    Raises:
        InputError: windows longer than the model reads or shorter than two tokens, tokens outside its vocabulary, or losses of
            another shape or not finite.
    """
    count, length = windows.shape
    if not 2 <= length <= model.seqlen + 1:
        raise InputError(f"windows of {length} tokens, expected 2 to {model.seqlen + 1} (the model's seqlen + 1)")
    if windows.size and not (windows.min() >= 0 and windows.max() < model.vocab_size):
        raise InputError(f"tokens {windows.min()} to {windows.max()}, expected 0 to {model.vocab_size - 1}")
    losses = np.asarray(model.losses(windows), dtype=np.float64)
    if losses.shape != (count, length - 1):
        raise InputError(f"the model's losses have shape {losses.shape}, expected {(count, length - 1)}")
    if not np.isfinite(losses).all():
        raise InputError("the model's losses are not all finite")
    return losses
