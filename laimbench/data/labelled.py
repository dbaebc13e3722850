"""Items with a class each, from folders by class: split, decoded once, kept in a cache, read by memory mapping."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.data.cache import cached, sha256
from laimbench.data.corpus import list_files
from laimbench.data.documents import Problem
from laimbench.data.shards import Shards, ShardWriter
from laimbench.errors import InputError

FORMAT = 1  # of the cached files
VALIDATION_SHARE = 0.2
VALIDATION_FOLDERS = ("validation", "val", "test")  # beside "train": a split that was made before
PROBLEMS_KEPT = 100


class Unusable(Exception):
    """Raised by a decoder: this file is left out, for the reason given."""


@dataclass(frozen=True)
class Labelled:
    """One side of a labelled set.

    items: (n, *shape) of a type of the kind's own. labels: (n,) int64, numbers into the classes. lengths: (n,) int64, how
    much of an item is not padding, along its first axis.
    """

    items: Shards | np.ndarray
    labels: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class LabelledSets:
    """Both sides, the names of the classes, and lines for the user about what was left out."""

    classes: tuple[str, ...]
    train: Labelled
    validation: Labelled
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ByClass:
    """What ``Images`` and ``Clips`` share: batches of either side, as arrays of the kind's own form, labels last."""

    source: str
    sets: LabelledSets

    @property
    def classes(self) -> tuple[str, ...]:
        return self.sets.classes

    @property
    def notes(self) -> tuple[str, ...]:
        return self.sets.notes

    def train_batch(self, seed: int, step: int, count: int) -> tuple[np.ndarray, ...]:
        """Return batch ``step`` of the run ``seed``; an epoch is a fresh permutation."""
        return self.at(self.sets.train, epoch_positions(len(self.sets.train), seed, step, count))

    def validation_batch(self, first: int, count: int) -> tuple[np.ndarray, ...]:
        """Return up to ``count`` held-out items from number ``first`` on."""
        return self.at(self.sets.validation, np.arange(first, min(first + count, len(self.sets.validation))))

    def at(self, side: Labelled, positions: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the items of one side at these positions as a batch."""
        raise NotImplementedError


@dataclass(frozen=True)
class Decoder:
    """How a kind of file becomes an item: ``decode(path)`` returns it with its length, or raises Unusable."""

    kind: str  # of the cache, with everything that changes an item
    suffixes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: type
    decode: Callable[[Path], tuple[np.ndarray, int]]


@dataclass(frozen=True)
class _File:
    name: str
    path: Path
    label: int
    held_out: bool


def epoch_positions(samples: int, seed: int, step: int, count: int) -> np.ndarray:
    """Return (count,) the positions of batch ``step``: an epoch is a fresh permutation, epochs follow without a gap."""
    places = step * count + np.arange(count)
    order = {
        int(epoch): np.random.default_rng((seed, int(epoch))).permutation(samples)
        for epoch in np.unique(places // samples)
    }
    return np.array([order[int(place // samples)][place % samples] for place in places])


def load_folders(source: str, decoder: Decoder) -> LabelledSets:
    """Return the items of ``dir:PATH``, where PATH/CLASS/... holds a class's files.

    A fifth of every class is held out, by a hash of the file's name; or PATH holds train/CLASS and validation/CLASS (or
    val, test), and that is the split. A held-out item that equals a training item is left out.

    Raises:
        InputError: no such folder, fewer than two classes, or a side without a usable file.
    """
    root = Path(source.removeprefix("dir:"))
    if not source.startswith("dir:") or not root.is_dir():
        raise InputError(f"data {source!r}: not a directory, expected dir:PATH with a folder for each class")
    problems: list[Problem] = []
    classes, files = _classes(source, root, decoder, problems.append)
    state = hashlib.sha256(f"{FORMAT} {decoder.kind}".encode())
    for file in files:
        try:
            content = sha256(file.path)
        except OSError:
            content = "unreadable"
        state.update(f"\0{file.name}\0{file.label}\0{file.held_out}\0{content}".encode("utf-8", "surrogateescape"))
    folder, meta = cached("labelled", state.hexdigest(), lambda fresh: _build(files, decoder, problems, fresh))
    sides = {}
    for side in ("train", "validation"):
        labels = np.load(folder / f"{side}-labels.npy", allow_pickle=False)
        if not len(labels):
            first = f"; {meta['notes'][0]}" if meta["notes"] else ""
            raise InputError(f"data {source!r}: no usable {side} file ({', '.join(decoder.suffixes)}){first}")
        lengths = np.load(folder / f"{side}-lengths.npy", allow_pickle=False)
        sides[side] = Labelled(Shards(folder, f"{side}-items"), labels, lengths)
    return LabelledSets(classes, sides["train"], sides["validation"], tuple(meta["notes"]))


def _classes(source, root: Path, decoder: Decoder, report) -> tuple[tuple[str, ...], list[_File]]:
    paths = list_files(root, lambda path: path.suffix.lower() in decoder.suffixes, report)
    parts = [(path, path.relative_to(root).parts) for path in sorted(paths)]
    tops = {names[0] for _, names in parts if len(names) > 1}
    split_made = "train" in tops and tops <= {"train", *VALIDATION_FOLDERS} and len(tops) > 1
    depth = 1 if split_made else 0
    grouped: dict[str, list[tuple[Path, tuple[str, ...]]]] = {}
    for path, names in parts:
        if len(names) > depth + 1:
            grouped.setdefault(names[depth], []).append((path, names))
    if len(grouped) < 2:
        raise InputError(f"data {source!r}: {len(grouped)} classes, expected two or more folders with files "
                         f"({', '.join(decoder.suffixes)})")  # fmt: skip
    files = []
    for label, name in enumerate(sorted(grouped)):
        members = grouped[name]
        ranked = sorted(
            members, key=lambda member: hashlib.sha256(_name(member).encode("utf-8", "surrogateescape")).digest()
        )
        chosen = {path for path, _ in ranked[: round(len(ranked) * VALIDATION_SHARE)]}
        for path, names in members:
            held_out = names[0] != "train" if split_made else path in chosen
            files.append(_File("/".join(names), path, label, held_out))
    return tuple(sorted(grouped)), files


def _name(member: tuple[Path, tuple[str, ...]]) -> str:
    return "/".join(member[1])


def _build(files: list[_File], decoder: Decoder, problems: list[Problem], folder: Path) -> dict[str, Any]:
    seen: set[bytes] = set()
    repeated = 0
    for side, held_out in (("train", False), ("validation", True)):
        writer = ShardWriter(folder, f"{side}-items", decoder.dtype, decoder.shape)
        labels, lengths = [], []
        for file, item, length in _decoded(files, held_out, decoder, problems):
            content = hashlib.sha256(item.tobytes()).digest()
            if held_out and content in seen:
                repeated += 1
                continue
            if not held_out:
                seen.add(content)
            writer.append(item[None])
            labels.append(file.label)
            lengths.append(length)
        writer.close()
        np.save(folder / f"{side}-labels.npy", np.array(labels, dtype=np.int64), allow_pickle=False)
        np.save(folder / f"{side}-lengths.npy", np.array(lengths, dtype=np.int64), allow_pickle=False)
    notes = []
    if problems:
        notes.append(f"left out: {problems[0]}" + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""))
    if repeated:
        notes.append(f"left out of validation: {repeated} repetitions of training items")
    return {
        "kind": decoder.kind,
        "problems": {"count": len(problems), "first": [asdict(p) for p in problems[:PROBLEMS_KEPT]]},
        "repeated": repeated,
        "notes": notes,
    }


def _decoded(
    files, held_out: bool, decoder: Decoder, problems: list[Problem]
) -> Iterator[tuple[_File, np.ndarray, int]]:
    for file in files:
        if file.held_out == held_out:
            try:
                item, length = decoder.decode(file.path)
            except (Unusable, OSError) as error:
                problems.append(Problem(file.name, 0, str(error) if isinstance(error, Unusable) else "cannot be read"))
                continue
            yield file, item, length
