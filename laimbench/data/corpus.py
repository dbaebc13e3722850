"""Text as documents, split into train and validation so that no file is in both."""

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from laimbench.errors import InputError

VALIDATION_SHARE = 0.05
MINIMUM_BYTES = 1_000
TEXT_SUFFIXES = (".txt", ".md", ".py", ".rst", ".c", ".h", ".cpp", ".cu", ".rs", ".go", ".js", ".ts", ".java")
NOT_THE_LIBRARY = ("site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__")


@dataclass(frozen=True)
class Corpus:
    """Documents by name, in a fixed order; each is either training or validation text."""

    source: str
    documents: tuple[tuple[str, bytes], ...]
    held_out: frozenset[str]

    def texts(self, validation: bool) -> Iterator[str]:
        """Yield the documents of one side; bytes that are not UTF-8 become U+FFFD."""
        for name, content in self.documents:
            if (name in self.held_out) == validation:
                yield content.decode("utf-8", errors="replace")

    @cached_property
    def digest(self) -> str:
        """Hash of names, contents and split: what a cache of this corpus is keyed by."""
        state = hashlib.sha256()
        for name, content in self.documents:
            state.update(f"{name}\0{len(content)}\0{name in self.held_out}\0".encode())
            state.update(content)
        return state.hexdigest()


def load_corpus(source: str) -> Corpus:
    """Return the corpus of ``builtin:python``, ``file:PATH`` or ``dir:PATH``.

    ``builtin:python`` is the running interpreter's standard library without its tests. Directories are split by file,
    by a hash of the relative path; a single file gives its last part to validation.

    Raises:
        InputError: unknown source, missing path, or too little text.
    """
    kind, _, name = source.partition(":")
    if source == "builtin:python":
        root = Path(sysconfig.get_paths()["stdlib"])
        paths = [
            p for p in root.rglob("*.py") if not any(part in NOT_THE_LIBRARY for part in p.relative_to(root).parts)
        ]
        return _by_file(source, root, paths)
    if kind == "dir" and name:
        root = Path(name)
        if not root.is_dir():
            raise InputError(f"data {source!r}: {name} is not a directory")
        return _by_file(source, root, [p for p in root.rglob("*") if p.suffix in TEXT_SUFFIXES and p.is_file()])
    if kind == "file" and name:
        return _by_position(source, Path(name))
    raise InputError(f"data {source!r}: unknown source, expected builtin:python, file:PATH or dir:PATH")


def _by_file(source: str, root: Path, paths: list[Path]) -> Corpus:
    documents = []
    for path in sorted(paths):
        try:
            content = path.read_bytes()
        except OSError:
            continue  # an unreadable file of a library or folder is not part of the corpus
        if content:
            documents.append((path.relative_to(root).as_posix(), content))
    _check_size(source, sum(len(content) for _, content in documents))
    ranked = sorted((name for name, _ in documents), key=lambda name: hashlib.sha256(name.encode()).digest())
    held_out = ranked[: max(1, round(len(ranked) * VALIDATION_SHARE))]
    if len(ranked) < 2:
        raise InputError(f"data {source!r}: one document only, expected two or more (one is held out); use file:PATH")
    return Corpus(source, tuple(documents), frozenset(held_out))


def _by_position(source: str, path: Path) -> Corpus:
    if not path.is_file():
        raise InputError(f"data {source!r}: {path} is not a file")
    content = path.read_bytes()
    _check_size(source, len(content))
    cut = int(len(content) * (1 - VALIDATION_SHARE))
    cut = content.rfind(b"\n", 0, cut) + 1 or cut
    return Corpus(source, (("head", content[:cut]), ("tail", content[cut:])), frozenset({"tail"}))


def _check_size(source: str, size: int) -> None:
    if size < MINIMUM_BYTES:
        raise InputError(f"data {source!r}: {size} bytes of text, expected at least {MINIMUM_BYTES}")
