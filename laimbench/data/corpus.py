"""Text as documents, split into train and validation so that no document is in both, nor nearly in both.

Nothing is held but 25 bytes per document. What may be large is read again in each pass: once to count and name the
documents, once to compare held-out with training documents, once to train a tokenizer, once to tokenise.
"""

import hashlib
import json
import os
import stat
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from laimbench.data.documents import (
    COMPRESSED,
    EMPTY,
    LINES,
    PARQUET,
    Piece,
    Problem,
    Report,
    inner_suffix,
    read_blocks,
    read_documents,
    read_text,
)
from laimbench.data.minhash import NearDuplicates, signatures
from laimbench.data.threads import in_threads
from laimbench.errors import InputError

VALIDATION_SHARE = 0.05
MINIMUM_BYTES = 1_000
BATCH_BYTES = 1 << 18
PLAIN_SUFFIXES = (".txt", ".md", ".py", ".rst", ".c", ".h", ".cpp", ".cu", ".rs", ".go", ".js", ".ts", ".java",
                  ".cc", ".hpp", ".cuh", ".sh", ".rb", ".cs", ".jl", ".lua", ".sql", ".tex")  # fmt: skip
NOT_THE_LIBRARY = ("site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__")
TRAIN, VALIDATION, REPEATED, BROKEN = range(4)  # what a document is


@dataclass(frozen=True)
class SourceFile:
    """A file of a corpus by name; ``start`` and ``stop`` where one text is cut into a training and a held-out part."""

    name: str
    path: Path
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True)
class Split:
    """What every document is, in reading order (uint8: TRAIN, VALIDATION, REPEATED, BROKEN), and what was left out."""

    sides: np.ndarray
    counts: tuple[int, ...]  # documents of each file
    problems: tuple[Problem, ...]
    repeated: tuple[int, int]  # held-out documents left out: exact, near repetitions of training documents

    @property
    def notes(self) -> tuple[str, ...]:
        lines = []
        problems = [problem for problem in self.problems if problem.what != EMPTY]  # an empty file is no loss
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            lines.append(f"left out or replaced: {problems[0]}{more}")
        if any(self.repeated):
            exact, near = self.repeated
            lines.append(
                f"left out of validation: {exact} repetitions and {near} near repetitions of training documents"
            )
        return tuple(lines)


class Corpus:
    """Documents in a fixed order, read from disk whenever they are asked for."""

    def __init__(
        self, source: str, files: list[SourceFile], field: str = "text", problems: list[Problem] | None = None
    ):
        self.source, self.files, self.field = source, tuple(files), field
        self.listing_problems = tuple(problems or ())

    def texts(self, validation: bool) -> Iterator[str]:
        """Yield the text of one side, in pieces."""
        return (piece.text for piece in self.pieces(VALIDATION if validation else TRAIN))

    def pieces(self, side: int) -> Iterator[Piece]:
        """Yield the pieces of the documents on one side.

        Raises:
            InputError: the files are not what they were when the split was made.
        """
        return (piece for _, piece in self._on(self.split.sides, self.split.counts, side))

    def documents(self, report: Report) -> Iterator[tuple[SourceFile, Iterator[Piece]]]:
        """Yield each file with the pieces of its documents, on whatever side they are; ``report`` hears what is left out."""
        return ((file, self._read(file, report)) for file in self.files)

    @cached_property
    def digest(self) -> str:
        """Hash of names and raw contents and of how they are read: what a cache of this corpus is keyed by."""
        state = hashlib.sha256(self.field.encode())
        contents: dict[Path, bytes] = {}
        for file in self.files:
            if file.path not in contents:
                try:
                    with file.path.open("rb") as stream:
                        contents[file.path] = hashlib.file_digest(stream, "sha256").digest()
                except OSError:
                    contents[file.path] = b"unreadable"
            state.update(f"\0{file.name}\0{file.start}\0{file.stop}\0".encode("utf-8", "surrogateescape"))
            state.update(contents[file.path])
        return state.hexdigest()

    @cached_property
    def split(self) -> Split:
        """The split: held out are the 5 % of documents whose names' hashes are smallest, less what training repeats.

        Raises:
            InputError: too little text, one document only, or nothing left to hold out.
        """
        problems = list(self.listing_problems)
        ranks, contents, whole, counts, total = self._scan(problems.append)
        if total < MINIMUM_BYTES:
            first = f"; {problems[0]}" if problems else ""
            raise InputError(f"data {self.source!r}: {total} bytes of text, expected at least {MINIMUM_BYTES}{first}")
        sides = np.where(whole, TRAIN, BROKEN).astype(np.uint8)
        if self.files[-1].start:  # one text, cut: its parts are not compared, they continue each other
            sides[-1] = VALIDATION
            return Split(sides, counts, tuple(problems), (0, 0))
        documents = np.flatnonzero(whole)
        if len(documents) < 2:
            raise InputError(f"data {self.source!r}: one document only, expected two or more (one is held out)")
        held_out = documents[np.argsort(ranks[documents])][: max(1, round(len(documents) * VALIDATION_SHARE))]
        sides[held_out] = VALIDATION
        exact = held_out[np.isin(contents[held_out], contents[sides == TRAIN])]
        sides[exact] = REPEATED
        near = self._near_repetitions(sides, counts)
        sides[near] = REPEATED
        if not (sides == VALIDATION).any():
            raise InputError(
                f"data {self.source!r}: all {len(held_out)} held-out documents repeat training documents, "
                "expected documents that differ"
            )
        return Split(sides, counts, tuple(problems), (len(exact), len(near)))

    def _scan(self, report: Report) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, ...], int]:
        """Return per document: rank of its name, hash of its content, whether it is whole; documents of each file;

        and all bytes of text.
        """
        ranks, contents, whole, counts, total = [], [], [], [], 0
        state = hashlib.sha256()
        for file in self.files:
            before = len(ranks)
            for piece in self._read(file, report):
                encoded = piece.text.encode()
                state.update(encoded)
                total += len(encoded) if piece.whole else 0
                if piece.last:
                    name = piece.name.encode("utf-8", "surrogateescape")
                    ranks.append(int.from_bytes(hashlib.sha256(name).digest()[:8]))
                    contents.append(state.digest()[:16])
                    whole.append(piece.whole)
                    state = hashlib.sha256()
            counts.append(len(ranks) - before)
        as_bytes = np.frombuffer(b"".join(contents), dtype="V16")
        return np.array(ranks, dtype=np.uint64), as_bytes, np.array(whole, dtype=bool), tuple(counts), total

    def _near_repetitions(self, sides: np.ndarray, counts: tuple[int, ...]) -> list[int]:
        index = NearDuplicates()
        for numbers, found in in_threads(_signed, self._text_batches(sides, counts, VALIDATION)):
            index.add(numbers, *found)
        for _, found in in_threads(_signed, self._text_batches(sides, counts, TRAIN)):
            index.match(*found)
        return sorted(index.found)

    def _text_batches(self, sides, counts, side: int) -> Iterator[tuple[list[int], list[bytes]]]:
        """Yield document numbers and texts of one side's pieces."""
        numbers, texts, size = [], [], 0
        for number, piece in self._on(sides, counts, side):
            numbers.append(number)
            texts.append(piece.text.encode())
            size += len(texts[-1])
            if size >= BATCH_BYTES:
                yield numbers, texts
                numbers, texts, size = [], [], 0
        if texts:
            yield numbers, texts

    def _on(self, sides: np.ndarray, counts: tuple[int, ...], side: int) -> Iterator[tuple[int, Piece]]:
        """Yield the pieces of one side with their documents' numbers; files without any are not opened."""
        first = 0
        for file, count in zip(self.files, counts, strict=True):
            wanted = sides[first : first + count] == side
            number = 0
            for piece in self._read(file, lambda problem: None) if wanted.any() else ():
                if number < count and wanted[number]:
                    yield first + number, piece
                number += piece.last
            if wanted.any() and number != count:
                raise InputError(f"data {self.source!r}: {file.name}: changed while it was read")
            first += count

    def _read(self, file: SourceFile, report: Report) -> Iterator[Piece]:
        if file.start or file.stop:
            return read_text(file.path, file.name, report, file.start, file.stop)
        return read_documents(file.path, file.name, self.field, report)


def _signed(batch: tuple[list[int], list[bytes]]) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    return np.array(batch[0]), signatures(batch[1])


def load_corpus(source: str, field: str = "text", cut: bool = True) -> Corpus:
    """Return the corpus of ``builtin:python``, ``file:PATH`` or ``dir:PATH``.

    ``builtin:python`` is the running interpreter's standard library without its tests. A file of plain text is a
    document, a row of a JSON-lines, Parquet or Arrow file is one, its text under ``field``. Documents are split by a hash
    of their name (path and line); a single plain text gives its last part to validation. A folder that
    ``datasets.save_to_disk`` wrote is read as one, of a dictionary of splits its ``train``. Without ``cut`` a single plain
    text stays one document, for readers that need no split.

    Raises:
        InputError: unknown source, or a missing or unusable path.
    """
    kind, _, name = source.partition(":")
    if source == "builtin:python":
        root = Path(sysconfig.get_paths()["stdlib"])
        paths = [
            p for p in root.rglob("*.py") if not any(part in NOT_THE_LIBRARY for part in p.relative_to(root).parts)
        ]
        return Corpus(source, _sorted(root, paths))
    if kind == "dir" and name:
        root = Path(name)
        if not root.is_dir():
            raise InputError(f"data {source!r}: {name} is not a directory")
        if (root / "dataset_dict.json").is_file() or (root / "state.json").is_file():
            return Corpus(source, _dataset_files(source, root), field)
        problems: list[Problem] = []
        return Corpus(source, _sorted(root, list_files(root, _is_text, problems.append)), field, problems)
    if kind == "file" and name:
        path = Path(name)
        if not path.is_file():
            raise InputError(f"data {source!r}: {path} is not a file")
        if inner_suffix(path) in (*LINES, PARQUET) or not cut:
            return Corpus(source, [SourceFile(path.name, path)], field)
        held_out = _cut(source, path)
        return Corpus(source, [SourceFile("head", path, 0, held_out), SourceFile("tail", path, held_out)])
    raise InputError(f"data {source!r}: unknown source, expected builtin:python, file:PATH or dir:PATH")


def list_files(root: Path, wanted: Callable[[Path], bool], report: Report) -> list[Path]:
    """Return the files below ``root`` that are ``wanted``: each once, links to folders not followed, both reported."""
    found: dict[tuple[int, int], Path] = {}

    def cannot(error: OSError) -> None:
        report(Problem(str(error.filename), 0, f"cannot be listed ({error.strerror})"))

    for folder, folders, names in os.walk(root, onerror=cannot):
        folders.sort()
        for name in folders:
            if (path := Path(folder, name)).is_symlink():
                report(Problem(path.relative_to(root).as_posix(), 0, "a link to a folder, not followed"))
        for path in sorted(Path(folder, name) for name in names):
            if not wanted(path):
                continue
            shown = path.relative_to(root).as_posix()
            try:
                status = path.stat()
            except OSError as error:
                report(Problem(shown, 0, f"cannot be read ({error.strerror})"))
                continue
            key = status.st_dev, status.st_ino
            if not stat.S_ISREG(status.st_mode):
                report(Problem(shown, 0, "not a regular file"))
            elif key in found:
                report(Problem(shown, 0, f"the same file as {found[key].relative_to(root).as_posix()}"))
            else:
                found[key] = path
    return list(found.values())


def _is_text(path: Path) -> bool:
    inner = inner_suffix(path)
    return inner in PLAIN_SUFFIXES or inner in LINES or (inner == PARQUET and path.suffix not in COMPRESSED)


def _sorted(root: Path, paths: list[Path]) -> list[SourceFile]:
    return [SourceFile(path.relative_to(root).as_posix(), path) for path in sorted(paths)]


def _dataset_files(source: str, root: Path) -> list[SourceFile]:
    """Return the Arrow files of a folder written by ``datasets.save_to_disk`` (state.json names them)."""
    try:
        if (root / "dataset_dict.json").is_file():
            splits = json.loads((root / "dataset_dict.json").read_text())["splits"]
            if "train" not in splits:
                raise InputError(f"data {source!r}: splits {', '.join(map(str, splits))}, expected train among them")
            root = root / "train"
        names = [entry["filename"] for entry in json.loads((root / "state.json").read_text())["_data_files"]]
        if not all(isinstance(name, str) and Path(name).name == name and name.endswith(".arrow") for name in names):
            raise InputError(f"data {source!r}: state.json names files outside its folder or not of Arrow")
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"data {source!r}: not a folder of datasets.save_to_disk ({error!r})") from None
    return [SourceFile(name, root / name) for name in names]


def _cut(source: str, path: Path) -> int:
    """Return the byte from which a plain text is held out: a line's beginning, or a character's where lines are none."""
    try:
        total = sum(len(block) for block in read_blocks(path))
        if total < MINIMUM_BYTES:
            raise InputError(f"data {source!r}: {total} bytes of text, expected at least {MINIMUM_BYTES}")
        target, line, character, place = int(total * (1 - VALIDATION_SHARE)), 0, 0, 0
        for block in read_blocks(path, 0, target):
            newline = block.rfind(b"\n")
            line = place + newline + 1 if newline >= 0 else line
            place += len(block)
        for block in read_blocks(path, max(0, target - 4), target + 1):
            starts = [i for i, byte in enumerate(block) if byte & 0xC0 != 0x80]
            character = max(0, target - 4) + starts[-1] if starts else target
    except InputError:
        raise
    except Exception as error:  # a broken archive: each format has errors of its own
        raise InputError(f"data {source!r}: cannot be read ({type(error).__name__}: {error})") from None
    return line or character
