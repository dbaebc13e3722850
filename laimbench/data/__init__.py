"""Data sources by name: ``builtin:python``, ``builtin:digits``, ``file:PATH``, ``dir:PATH``."""

from laimbench.data.digits import Digits, load_digits
from laimbench.data.text import Tokens, load_tokens, unigram_entropy

__all__ = ["Digits", "Tokens", "load_digits", "load_tokens", "unigram_entropy"]
