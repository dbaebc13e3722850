"""Rows with a text and a label, streamed from JSON lines or CSV; what is no such row is reported and left out."""

import codecs
import csv
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laimbench.data.documents import (
    LINES,
    UNREADABLE,
    Problem,
    Report,
    inner_suffix,
    open_blocks,
    raw_lines,
    reason,
    without_surrogates,
)
from laimbench.errors import InputError

CSV = ".csv"
ROW_SUFFIXES = (*LINES, CSV)
TEXT, LABEL = "text", "label"


@dataclass(frozen=True)
class Row:
    """``line`` is where it ends in its file."""

    line: int
    text: str
    label: str


def read_rows(source: str, path: Path, report: Report) -> Iterator[Row]:
    """Yield the rows of a file that have a text and a label: text, a whole number, or true or false.

    Raises:
        InputError: not a file, or of another kind.
    """
    suffix = inner_suffix(path)
    if not path.is_file() or suffix not in ROW_SUFFIXES:
        what = f"of suffix {suffix!r}" if path.is_file() else "not a file"
        raise InputError(f"data {source!r}: {path} is {what}, expected {', '.join(ROW_SUFFIXES)} (also .gz, .zst)")
    parsed = _csv_rows(path, report) if suffix == CSV else _json_rows(path, report)
    try:
        for line, row in parsed:
            wrong = row if isinstance(row, str) else _wrong(row)
            if wrong:
                report(Problem(path.name, line, wrong))
            else:
                yield Row(line, without_surrogates(row[TEXT]), without_surrogates(str(row[LABEL])))
    except UNREADABLE as error:
        report(Problem(path.name, 0, reason(error)))


def rows_digest(path: Path) -> str:
    """Return a hash of a file's name and bytes: what a cache of its rows is keyed by."""
    try:
        with path.open("rb") as stream:
            return f"{path.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}"
    except OSError as error:
        raise InputError(f"data {path}: cannot be read ({error.strerror})") from None


def _wrong(row: dict[str, Any]) -> str:
    for field in (TEXT, LABEL):
        if field not in row:
            return f"no field {field!r}"
    text, label = row[TEXT], row[LABEL]
    if not isinstance(text, str) or not isinstance(label, str | int):
        return (
            f"text is {type(text).__name__} and label {type(label).__name__}, expected text and text or a whole number"
        )
    return "" if text and str(label) else "an empty text or label"


def _json_rows(path: Path, report: Report) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in raw_lines(path, path.name, report):
        try:
            row = json.loads(line)
            yield number, row if isinstance(row, dict) else "not an object"
        except (ValueError, RecursionError) as error:
            yield number, f"not JSON ({type(error).__name__})"


def _csv_rows(path: Path, report: Report) -> Iterator[tuple[int, dict[str, Any] | str]]:
    with open_blocks(path) as stream:
        replaced: list[int] = []
        reader = csv.reader(_decoded(stream, replaced))
        try:
            header = next(reader, None)
            if not header or TEXT not in header or LABEL not in header:
                found = ", ".join(header or [])[:80]
                report(Problem(path.name, 1, f"no columns {TEXT!r} and {LABEL!r} in the first line, has {found!r}"))
                return
            for row in reader:
                if len(row) == len(header):
                    yield reader.line_num, dict(zip(header, row, strict=True))
                elif row:
                    yield reader.line_num, f"{len(row)} columns, expected {len(header)}"
        except csv.Error as error:  # an open quote swallows all that follows: nothing behind it is to be trusted
            report(Problem(path.name, reader.line_num, f"not CSV ({error}); what follows is left out"))
    if replaced:
        report(Problem(path.name, replaced[0], f"{len(replaced)} lines that are not UTF-8: bytes became U+FFFD"))


def _decoded(stream: io.BufferedIOBase, replaced: list[int]) -> Iterator[str]:
    """Yield lines, with their ends; numbers of lines with bytes that are not UTF-8 go to ``replaced``."""
    for number, line in enumerate(stream, 1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        try:
            yield line.decode()
        except UnicodeDecodeError:
            replaced.append(number)
            yield line.decode(errors="replace")
