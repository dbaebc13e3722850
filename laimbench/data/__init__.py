"""Data sources by name, each behind a dataclass that gives batches by seed and step; docs/data.md has them all.

Tokens: ``builtin:python``, ``file:PATH``, ``dir:PATH``, ``synthetic:KIND?...``. Images: ``builtin:digits``, ``dir:PATH``.
Audio: ``dir:PATH``, ``builtin:spoken-digits``, ``builtin:spoken-numbers``. Pairs: ``builtin:numbers``, ``builtin:dates``,
``builtin:signatures``. Labelled texts: ``builtin:operators``, ``file:PATH``, ``dir:PATH``.
"""

from laimbench.data.audio import Clips, load_clips, load_speech, log_mel
from laimbench.data.digits import Digits, load_digits
from laimbench.data.images import Images, load_images
from laimbench.data.labelled_texts import LabelledTexts, load_labelled_texts
from laimbench.data.pairs import PairBatch, Pairs, load_pairs
from laimbench.data.special import SpecialIds
from laimbench.data.spoken import Speech, SpeechBatch
from laimbench.data.text import Tokens, load_tokens, unigram_entropy
from laimbench.data.windows import TokenWindows, load_windows

__all__ = ["Clips", "Digits", "Images", "LabelledTexts", "PairBatch", "Pairs", "SpecialIds", "Speech", "SpeechBatch", "TokenWindows", "Tokens", "load_clips", "load_digits",
           "load_images", "load_labelled_texts", "load_pairs", "load_speech", "load_tokens", "load_windows", "log_mel", "unigram_entropy"]  # fmt: skip
