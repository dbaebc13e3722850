"""Token windows for a causal model, from text or from a synthetic source, behind one interface."""

from typing import Protocol

import numpy as np

from laimbench.data.synthetic import load_synthetic
from laimbench.data.text import load_tokens


class TokenWindows(Protocol):
    """What ``Tokens`` and ``SyntheticTokens`` share; a window of seqlen + 1 tokens gives seqlen inputs and targets."""

    source: str
    vocab_size: int
    notes: tuple[str, ...]  # what the user should know: lines that say what was left out, and where

    def train_windows(self, seed: int, step: int, count: int, length: int) -> np.ndarray:
        """Return (count, length) int64: batch ``step`` of the run ``seed``."""

    def validation_windows(self, count: int, length: int) -> np.ndarray:
        """Return (up to count, length) int64: the same for every run, apart from all training windows."""


def load_windows(source: str, vocab_size: int) -> TokenWindows:
    """Return the windows of any token source; a synthetic one has its own vocabulary, vocab_size does not count there.

    Raises:
        InputError: a bad source.
    """
    return load_synthetic(source) if source.startswith("synthetic:") else load_tokens(source, vocab_size)
