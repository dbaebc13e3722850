"""A long array on disk in parts of bounded size, read by memory mapping; its items are numbers or arrays of one shape."""

from pathlib import Path

import numpy as np

SHARD_BYTES = 1 << 26


class ShardWriter:
    """Append arrays (n, *shape) of one type; files NAME-00000.npy and on are written as they fill."""

    def __init__(
        self,
        folder: Path,
        name: str,
        dtype: np.dtype | type,
        shape: tuple[int, ...] = (),
        shard_bytes: int = SHARD_BYTES,
    ):
        self.folder, self.name, self.dtype = folder, name, dtype
        self.length = 0
        self._none = np.empty((0, *shape), dtype=dtype)
        self.items = max(1, shard_bytes // (np.dtype(dtype).itemsize * int(np.prod(shape))))
        self._parts: list[np.ndarray] = []
        self._held = self._written = 0

    def append(self, values: np.ndarray) -> None:
        while len(values):
            part = values[: self.items - self._held]
            self._parts.append(part.astype(self.dtype, copy=False))
            self._held += len(part)
            self.length += len(part)
            values = values[len(part) :]
            if self._held == self.items:
                self._flush()

    def close(self) -> None:
        """Write what is left; an array without items is one empty file."""
        if self._held or not self._written:
            self._flush()

    def _flush(self) -> None:
        whole = np.concatenate([self._none, *self._parts])
        np.save(self.folder / f"{self.name}-{self._written:05}.npy", whole, allow_pickle=False)
        self._parts, self._held, self._written = [], 0, self._written + 1


class Shards:
    """The array again: its length, slices and gathers by position read only what they need."""

    def __init__(self, folder: Path, name: str):
        paths = sorted(folder.glob(f"{name}-*.npy"))
        self.parts = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
        self.dtype = self.parts[0].dtype
        self._ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Return a slice of step 1, or the items at an array of positions in [0, length)."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"step is {step}, expected 1")
            firsts = self._ends - [len(part) for part in self.parts]
            pieces = [
                part[max(0, start - first) : max(0, stop - first)]
                for part, first in zip(self.parts, firsts, strict=True)
            ]
            return np.concatenate(pieces)
        positions = np.asarray(index)
        if len(self.parts) == 1:
            return self.parts[0][positions]
        found = np.empty((*positions.shape, *self.parts[0].shape[1:]), dtype=self.dtype)
        shard = np.searchsorted(self._ends, positions, side="right")
        for number in np.unique(shard):
            here = shard == number
            found[here] = self.parts[number][positions[here] - (self._ends[number] - len(self.parts[number]))]
        return found

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """Return all of it in memory."""
        return np.concatenate(self.parts).astype(dtype or self.dtype, copy=False)
