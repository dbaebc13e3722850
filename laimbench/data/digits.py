"""``builtin:digits``: the UCI handwritten digits, small enough to ship (see tables/README.md for source and licence)."""

import gzip
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

CLASSES = 10
VALIDATION_SHARE = 0.2
SPLIT_SEED = 0  # the split is part of the data: it does not move with a run's seed


PIXELS = 8  # to a side


@dataclass(frozen=True)
class Digits:
    """Images (n, 64) float32 in [0, 1] and labels (n,) int64, split into train and validation by class."""

    train_x: np.ndarray
    train_y: np.ndarray
    validation_x: np.ndarray
    validation_y: np.ndarray


def load_digits() -> Digits:
    """Return the digits, a fifth of every class held out."""
    packed = files("laimbench.data").joinpath("tables/digits.csv.gz").read_bytes()
    table = np.array([line.split(",") for line in gzip.decompress(packed).decode().split()], dtype=np.float32)
    x, y = table[:, :-1] / 16.0, table[:, -1].astype(np.int64)
    generator = np.random.default_rng(SPLIT_SEED)
    held_out = np.zeros(len(y), dtype=bool)
    for digit in range(CLASSES):
        members = np.flatnonzero(y == digit)
        held_out[generator.permutation(members)[: round(len(members) * VALIDATION_SHARE)]] = True
    return Digits(x[~held_out], y[~held_out], x[held_out], y[held_out])
