"""Items with a class each, from folders by class or elsewhere: split, decoded once, cached, read by memory mapping."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.data.cache import cached, sha256
from laimbench.data.corpus import list_files
from laimbench.data.documents import Problem, Report
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

    items: (n, *shape) of a type of the kind's own. labels: (n,) int64, numbers into the classes; of speech (n, U), rows
    of targets. lengths: (n,) int64, how much of an item is not padding, along its first axis.
    """

    items: Shards | np.ndarray
    labels: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class LabelledSets:
    """Both sides, the names of the classes, and lines for the user about what was left out; ``content`` as of ``ByClass``."""

    classes: tuple[str, ...]
    train: Labelled
    validation: Labelled
    notes: tuple[str, ...] = ()
    content: str = ""


@dataclass(frozen=True)
class ByClass:
    """What ``Images``, ``Clips``, ``LabelledTexts`` and ``Speech`` share: batches of either side, in the kind's own form."""

    source: str
    sets: LabelledSets

    @property
    def classes(self) -> tuple[str, ...]:
        return self.sets.classes

    @property
    def notes(self) -> tuple[str, ...]:
        return self.sets.notes

    @property
    def content(self) -> str:
        """A hash of the names and contents of what it was read from; '' of what its source's name says all about."""
        return self.sets.content

    @property
    def train_size(self) -> int:
        return len(self.sets.train)

    @property
    def validation_size(self) -> int:
        return len(self.sets.validation)

    def train_batch(self, seed: int, step: int, count: int) -> Any:
        """Return batch ``step`` of the run ``seed``; an epoch is a fresh permutation."""
        return self.at(self.sets.train, epoch_positions(len(self.sets.train), seed, step, count))

    def validation_batch(self, first: int, count: int) -> Any:
        """Return up to ``count`` held-out items from number ``first`` on."""
        return self.at(self.sets.validation, np.arange(first, min(first + count, len(self.sets.validation))))

    def at(self, side: Labelled, positions: np.ndarray) -> Any:
        """Return the items of one side at these positions as a batch: a tuple of arrays, labels last, or a dataclass."""
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
class ClassFile:
    """A file of a class, by its name below the folder of all."""

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


def hold_out(names: list[str]) -> np.ndarray:
    """Return bool (n,): the fifth of these names, of one class, whose SHA-256 is smallest."""
    ranked = sorted(
        range(len(names)), key=lambda i: hashlib.sha256(names[i].encode("utf-8", "surrogateescape")).digest()
    )
    held_out = np.zeros(len(names), dtype=bool)
    held_out[ranked[: round(len(names) * VALIDATION_SHARE)]] = True
    return held_out


def load_folders(source: str, decoder: Decoder) -> LabelledSets:
    """Return the items of ``dir:PATH``, where PATH/CLASS/... holds a class's files.

    A fifth of every class is held out, by a hash of the file's name; or PATH holds train/CLASS and validation/CLASS (or
    val, test), and that is the split. A held-out item that equals a training item is left out.

    Raises:
        InputError: no such folder, fewer than two classes, or a side without a usable file.
    """
    problems: list[Problem] = []
    classes, files = files_by_class(source, decoder.suffixes, problems.append)

    def build(fresh: Path) -> dict[str, Any]:
        return build_sides(
            fresh,
            decoder.kind,
            decoder.dtype,
            decoder.shape,
            lambda side: _decoded(files, side, decoder, problems),
            problems,
        )

    folder, meta = cached("labelled", f"{FORMAT} {decoder.kind} {files_digest(files)}", build)
    return read_sides(source, folder, meta, classes, ", ".join(decoder.suffixes))


def files_by_class(source: str, suffixes: tuple[str, ...], report: Report) -> tuple[tuple[str, ...], list[ClassFile]]:
    """Return the names of the classes of ``dir:PATH`` and its files, with the side that each is on.

    Raises:
        InputError: no such folder, or fewer than two classes.
    """
    root = Path(source.removeprefix("dir:"))
    if not source.startswith("dir:") or not root.is_dir():
        raise InputError(f"data {source!r}: not a directory, expected dir:PATH with a folder for each class")
    paths = list_files(root, lambda path: path.suffix.lower() in suffixes, report)
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
                         f"({', '.join(suffixes)})")  # fmt: skip
    files = []
    for label, name in enumerate(sorted(grouped)):
        members = grouped[name]
        chosen = hold_out(["/".join(names) for _, names in members])
        for (path, names), by_hash in zip(members, chosen.tolist(), strict=True):
            files.append(ClassFile("/".join(names), path, label, names[0] != "train" if split_made else by_hash))
    return tuple(sorted(grouped)), files


def files_digest(files: list[ClassFile]) -> str:
    """Return a hash of names, classes, sides and contents: what a cache of these files is keyed by."""
    state = hashlib.sha256()
    for file in files:
        try:
            content = sha256(file.path)
        except OSError:
            content = "unreadable"
        state.update(f"\0{file.name}\0{file.label}\0{file.held_out}\0{content}".encode("utf-8", "surrogateescape"))
    return state.hexdigest()


def build_sides(
    folder: Path,
    kind: str,
    dtype: type,
    shape: tuple[int, ...],
    items: Callable[[bool], Iterable[tuple[Any, np.ndarray, int]]],
    problems: list[Problem],
) -> dict[str, Any]:
    """Write both sides and return their meta.json; a held-out item that equals a training item is left out.

    ``items(held_out)`` yields the label (or a row of them), the item and its length; it may add to ``problems``.
    """
    seen: set[bytes] = set()
    repeated = 0
    for side, held_out in (("train", False), ("validation", True)):
        writer = ShardWriter(folder, f"{side}-items", dtype, shape)
        labels, lengths = [], []
        for label, item, length in items(held_out):
            content = hashlib.sha256(item.tobytes()).digest()
            if held_out and content in seen:
                repeated += 1
                continue
            if not held_out:
                seen.add(content)
            writer.append(item[None])
            labels.append(label)
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
        "kind": kind,
        "problems": {"count": len(problems), "first": [asdict(p) for p in problems[:PROBLEMS_KEPT]]},
        "repeated": repeated,
        "notes": notes,
    }


def read_sides(
    source: str, folder: Path, meta: dict[str, Any], classes: tuple[str, ...], expected: str
) -> LabelledSets:
    """Return what ``build_sides`` wrote.

    Raises:
        InputError: a side without an item; ``expected`` says what would have been one.
    """
    sides = {}
    for side in ("train", "validation"):
        labels = np.load(folder / f"{side}-labels.npy", allow_pickle=False)
        if not len(labels):
            first = f"; {meta['notes'][0]}" if meta["notes"] else ""
            raise InputError(f"data {source!r}: no usable {side} file ({expected}){first}")
        lengths = np.load(folder / f"{side}-lengths.npy", allow_pickle=False)
        sides[side] = Labelled(Shards(folder, f"{side}-items"), labels, lengths)
    return LabelledSets(classes, sides["train"], sides["validation"], tuple(meta["notes"]), folder.name)


def _decoded(
    files: list[ClassFile], held_out: bool, decoder: Decoder, problems: list[Problem]
) -> Iterator[tuple[int, np.ndarray, int]]:
    for file in files:
        if file.held_out == held_out:
            try:
                item, length = decoder.decode(file.path)
            except (Unusable, OSError) as error:
                problems.append(Problem(file.name, 0, str(error) if isinstance(error, Unusable) else "cannot be read"))
                continue
            yield file.label, item, length
