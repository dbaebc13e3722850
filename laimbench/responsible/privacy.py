"""Scan a text source for personal data and secrets, in one pass, and write a redacted copy of it if asked.

Kept in memory: one piece of a document (1 MiB), counts, and the first places of each kind, masked.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from laimbench.data.corpus import SourceFile, load_corpus
from laimbench.data.documents import ARROW, COMPRESSED, LINES, PARQUET, Piece, Problem, inner_suffix
from laimbench.errors import InputError
from laimbench.responsible.credentials import KEY_CHARACTERS
from laimbench.responsible.patterns import KINDS, find, mask, replace

PLACES_KEPT = 100  # of each kind
_SEAM = 1 << 12  # characters in which a place to cut a line without an end is sought


@dataclass(frozen=True)
class Place:
    """Where an item stands: document (path; with the row in JSON lines and tables), line within it, masked form."""

    document: str
    line: int
    masked: str


@dataclass
class Scan:
    """What a source holds. ``counts`` and ``documents_with`` are by kind, ``places`` the first PLACES_KEPT of each kind."""

    source: str
    documents: int = 0
    characters: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    documents_with: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    places: dict[str, list[Place]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    left_out: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, fit for JSON."""
        return asdict(self)


def scan(source: str, *, text_field: str = "text", redacted: Path | None = None) -> Scan:
    """Scan every document of a source, training and held-out alike.

    Args:
        source: ``builtin:python``, ``file:PATH`` or ``dir:PATH``, as ``laimbench.data`` reads them.
        text_field: key or column of the text in JSON lines and tables.
        redacted: a folder that is not there yet: gets a copy with placeholders for what was found, readable as
            ``dir:``. Plain text keeps its name (compressed: plus ``.txt``); rows become JSON lines with the text alone, for
            no other column was looked at. The folder appears when it is complete, and not before.

    Raises:
        InputError: a bad source, no text in it, or a folder that exists or lies inside the source.
    """
    corpus = load_corpus(source, text_field, cut=False)
    found = Scan(source, left_out=[str(problem) for problem in corpus.listing_problems])

    def report(problem: Problem) -> None:
        found.left_out.append(str(problem))

    if redacted is None:
        for _, pieces in corpus.documents(report):
            for _ in _redacted_parts(pieces, found):
                pass
    else:
        _check_target(source, redacted)
        with _new_folder(redacted) as folder:
            for file, pieces in corpus.documents(report):
                _write_copy(folder, file, _redacted_parts(pieces, found), text_field)
    if not found.documents:
        first = f"; {found.left_out[0]}" if found.left_out else ""
        raise InputError(f"data {source!r}: no text, expected at least one document{first}")
    return found


def _redacted_parts(pieces: Iterable[Piece], found: Scan) -> Iterator[tuple[str, bool]]:
    """Yield (redacted text, whether the document ends here), counting what is found."""
    carried, line, seen = "", 1, set()
    for piece in pieces:
        text, carried = _cut_at_seam(carried + piece.text, piece.last)
        items = find(text)
        place = 0
        for item in items:
            line += text.count("\n", place, item.start)
            place = item.start
            found.counts[item.kind] += 1
            seen.add(item.kind)
            if len(found.places[item.kind]) < PLACES_KEPT:
                masked = mask(item.kind, text[item.start : item.stop])
                name = piece.name.encode("utf-8", "backslashreplace").decode()  # a name need not be UTF-8
                found.places[item.kind].append(Place(name, line, masked))
        line += text.count("\n", place)
        found.characters += len(text)
        if piece.last:
            found.documents += 1
            for kind in seen:
                found.documents_with[kind] += 1
            line, seen = 1, set()
        yield replace(text, items), piece.last


def _cut_at_seam(text: str, last: bool) -> tuple[str, str]:
    """Cut where no item is cut: at a line's end before an unfinished private key; in an endless line, between words."""
    if last:
        return text, ""
    cut = text.rfind("\n") + 1
    if not cut:
        blank = max(text.rfind(" ", -_SEAM), text.rfind(",", -_SEAM)) if len(text) > _SEAM else -1
        return (text[: blank + 1], text[blank + 1 :]) if blank >= 0 else (text, "")
    begin = text.rfind("-----BEGIN ", max(0, cut - KEY_CHARACTERS), cut)
    if begin > 0 and "-----END " not in text[begin:cut]:
        cut = text.rfind("\n", 0, begin) + 1 or begin
    return text[:cut], text[cut:]


def _check_target(source: str, target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise InputError(f"redacted copy {target}: exists already, expected the name of a new folder")
    kind, _, name = source.partition(":")
    if kind == "dir" and target.resolve().is_relative_to(Path(name).resolve()):
        raise InputError(f"redacted copy {target}: lies inside the source {name}, expected a folder outside it")


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Give a folder to fill; it gets its name when all went well, else it is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_copy(folder: Path, file: SourceFile, parts: Iterator[tuple[str, bool]], text_field: str) -> None:
    suffix = inner_suffix(file.path)
    rows = suffix in (*LINES, PARQUET, ARROW)
    name = file.name
    if rows and file.path.suffix not in LINES:
        name += ".jsonl"
    elif not rows and file.path.suffix in COMPRESSED:
        name += ".txt"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        stream = path.open("x", encoding="utf-8", newline="")
    except FileExistsError:
        raise InputError(f"redacted copy: two files of the source would both become {name}") from None
    with stream:
        if rows:
            _write_rows(stream, parts, text_field)
        else:
            for text, _ in parts:
                stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _write_rows(stream: TextIO, parts: Iterator[tuple[str, bool]], text_field: str) -> None:
    """Write a JSON object a row, its text part by part: a string's parts, each in JSON, are the string in JSON."""
    opened = False
    for text, last in parts:
        if not opened:
            stream.write(f'{{{json.dumps(text_field)}: "')
        stream.write(json.dumps(text, ensure_ascii=False)[1:-1])
        if last:
            stream.write('"}\n')
        opened = not last
