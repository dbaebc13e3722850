"""The endless stream of a synthetic source as training and validation windows, reproducible by number.

A window is drawn, not cut: windows are independent, each from a uniform position of the process. Number i of a stream
is the same whenever and in whatever order it is read. Training and validation draw from generators of different keys.
"""

from functools import lru_cache

import numpy as np

from laimbench.data.synthetic.source import SyntheticSource

BLOCK = 256  # windows drawn together: the generators are vectorised over windows
TRAIN, VALIDATION = 1, 2


class SyntheticTokens:
    """Windows of a synthetic source, beside ``laimbench.data.Tokens``; ``process`` knows their entropy."""

    notes: tuple[str, ...] = ()
    content = ""

    def __init__(self, process: SyntheticSource):
        self.process, self.source, self.vocab_size = process, process.name, process.vocab_size
        self._block = lru_cache(maxsize=4)(self._draw_block)

    def train_windows(self, seed: int, step: int, count: int, length: int) -> np.ndarray:
        """Return (count, length) int64: batch ``step`` of the run ``seed``; no window comes twice in a run."""
        return self._windows(TRAIN, seed, step * count, count, length)

    def validation_windows(self, count: int, length: int) -> np.ndarray:
        """Return (count, length) int64, the same for every run."""
        return self._windows(VALIDATION, 0, 0, count, length)

    def _windows(self, side: int, stream: int, first: int, count: int, length: int) -> np.ndarray:
        blocks = range(first // BLOCK, (first + count - 1) // BLOCK + 1)
        rows = np.concatenate([self._block(side, stream, length, block) for block in blocks])
        offset = first - blocks[0] * BLOCK
        return rows[offset : offset + count]

    def _draw_block(self, side: int, stream: int, length: int, block: int) -> np.ndarray:
        generator = np.random.default_rng((self.process.seed, side, stream, length, block))
        return self.process.sample(generator, BLOCK, length)
