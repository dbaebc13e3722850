"""Data sources by name: ``builtin:python``, ``builtin:digits``, ``file:PATH``, ``dir:PATH``, ``synthetic:KIND?...``."""

from laimbench.data.digits import Digits, load_digits
from laimbench.data.text import Tokens, load_tokens, unigram_entropy
from laimbench.data.windows import TokenWindows, load_windows

__all__ = ["Digits", "TokenWindows", "Tokens", "load_digits", "load_tokens", "load_windows", "unigram_entropy"]
