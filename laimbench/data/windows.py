"""Token windows for a causal model, from text or from a synthetic source, behind one interface."""

from typing import Protocol

import numpy as np

from laimbench.data.synthetic import load_synthetic
from laimbench.data.text import load_tokens


class TokenWindows(Protocol):
    """What ``Tokens`` and ``SyntheticTokens`` share; a window of seqlen + 1 tokens gives seqlen inputs and targets."""

    source: str
    vocab_size: int
    content: str  # a hash of the names and contents of what it was read from, '' of a synthetic source
    notes: tuple[str, ...]  # what the user should know: lines that say what was left out, and where

    def train_windows(self, seed: int, step: int, count: int, length: int) -> np.ndarray:
        """Return (count, length) int64: batch ``step`` of the run ``seed``."""

    def validation_windows(self, count: int, length: int) -> np.ndarray:
        """Return (up to count, length) int64: the same for every run, apart from all training windows."""


def load_windows(source: str, vocab_size: int, tokenizer: str = "", field: str = "text") -> TokenWindows:
    """Return the windows of any token source; a synthetic one has its own vocabulary and needs nothing but its name.

    The other arguments are those of ``load_tokens``.

    Raises:
        InputError: a bad source or tokenizer.
    """
    if source.startswith("synthetic:"):
        return load_synthetic(source)
    return load_tokens(source, vocab_size, tokenizer, field)
