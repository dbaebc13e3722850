"""Files as chunks of raw columns: CSV and other delimited text, JSON lines, JSON, Parquet; .gz of the text formats.

A reader yields chunks of rows, so memory is bounded by the columns that come of them and not by the file's text.
"""

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.where import listed

CHUNK_ROWS = 2_000  # few enough that a chunk's text stays in the cache: a third of the time of 50,000
DELIMITERS = ",;\t|"
MAX_NESTING = 3  # of JSON objects flattened into columns a.b.c
WRAPPERS = ("runs", "rows", "data")  # keys under which a JSON object may hold its list of rows


@dataclass(frozen=True)
class Chunk:
    """Some rows: cells by column, as read (str, Python values or a NumPy array), and each row's number in its source."""

    columns: dict[str, Sequence[Any]]
    rows: np.ndarray


def read_chunks(path: Path) -> Iterator[Chunk]:
    """Yield a file's rows. The format goes by the suffix; anything unknown is read as delimited text.

    Rows are numbered as the user sees them: the header of delimited text is row 1, JSON lines go by line, the rest from 1.

    Raises:
        InputError: the file is missing, is not what its suffix says, or needs a package that is not there.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'is a directory, expected a file' if path.is_dir() else 'no such file'}")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] == ".gz"
    suffix = (suffixes[:-1] if packed else suffixes)[-1:] or [""]
    if suffix[0] in (".parquet", ".pq") and not packed:
        yield from _parquet(path)
        return
    try:
        with _open_text(path, packed) as stream:
            if suffix[0] in (".jsonl", ".ndjson"):
                yield from _json_lines(path, stream)
            elif suffix[0] == ".json":
                yield from _json(path, stream)
            else:
                yield from _delimited(path, stream, "\t" if suffix[0] in (".tsv", ".tab") else None)
    except (UnicodeError, csv.Error, EOFError, zlib.error, OSError) as error:
        raise InputError(f"{path}: not a readable table ({error})") from None


def _open_text(path: Path, packed: bool) -> io.TextIOWrapper:
    opener = gzip.open if packed else open
    with opener(path, "rb") as stream:
        utf16 = stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as spreadsheets export "Unicode text"
    return opener(path, "rt", newline="", encoding="utf-16" if utf16 else "utf-8-sig")


def _delimited(path: Path, stream: io.TextIOWrapper, delimiter: str | None) -> Iterator[Chunk]:
    start = stream.readline(csv.field_size_limit())
    stream.seek(0)
    reader = csv.reader(stream, delimiter=delimiter or _sniffed(start))
    number, header = next(((i, row) for i, row in enumerate(reader, start=1) if any(map(str.strip, row))), (0, None))
    if header is None:
        return
    names = [name.strip() or f"column {i}" for i, name in enumerate(header, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: column {listed(twice)} stands twice in the header, expected each name once")
    while lines := list(islice(reader, CHUNK_ROWS)):
        rows = np.arange(number + 1, number + 1 + len(lines))
        number += len(lines)
        if set(map(len, lines)) != {len(names)}:
            lines, rows = _mended(path, lines, rows, names)
        if lines:
            yield Chunk(dict(zip(names, zip(*lines, strict=True), strict=True)), rows)


def _sniffed(line: str) -> str:
    """Return the delimiter that stands most often outside the header's quotes."""
    outside = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def _mended(
    path: Path, lines: list[list[str]], rows: np.ndarray, names: list[str]
) -> tuple[list[list[str]], np.ndarray]:
    """Leave out blank lines and empty cells beyond the header; refuse rows that are too short or too long."""
    kept, numbers = [], []
    for line, row in zip(lines, rows, strict=True):
        if not any(line):
            continue
        if len(line) < len(names):
            raise InputError(
                f"{path}: row {row} has {len(line)} cells, expected {len(names)}: no {listed(names[len(line) :])}"
            )
        if any(line[len(names) :]):
            raise InputError(f"{path}: row {row} has {len(line)} cells, expected {len(names)}: {listed(names)}")
        kept.append(line[: len(names)])
        numbers.append(row)
    return kept, np.array(numbers, dtype=int)


def _json_lines(path: Path, stream: io.TextIOWrapper) -> Iterator[Chunk]:
    numbered = ((number, line) for number, line in enumerate(stream, start=1) if line.strip())
    while lines := list(islice(numbered, CHUNK_ROWS)):
        rows = []
        for number, line in lines:
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}: row {number} is not JSON ({error})") from None
        yield _objects(path, rows, np.array([number for number, _ in lines]))


def _json(path: Path, stream: io.TextIOWrapper) -> Iterator[Chunk]:
    """Read a list of objects, an object that wraps one, or an object of columns; else JSON lines under a .json name."""
    text = stream.read()
    if not text.strip():
        return
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        if "Extra data" in str(error):
            yield from _json_lines(path, io.StringIO(text))
            return
        raise InputError(f"{path}: not JSON ({error})") from None
    if isinstance(found, dict):
        wrapped = [found[key] for key in WRAPPERS if isinstance(found.get(key), list)]
        if len(wrapped) == 1 and all(isinstance(row, dict) for row in wrapped[0]):
            found = wrapped[0]
        elif found and all(isinstance(column, list) for column in found.values()):
            if len(set(map(len, found.values()))) > 1:
                lengths = listed(f"{name} {len(column)}" for name, column in found.items())
                raise InputError(f"{path}: columns of unequal length ({lengths}), expected as many rows each")
            yield Chunk(found, np.arange(1, 1 + len(next(iter(found.values())))))
            return
    if not isinstance(found, list):
        raise InputError(f"{path}: {type(found).__name__}, expected a list of objects, one per run")
    if found:
        yield _objects(path, found, np.arange(1, 1 + len(found)))


def _objects(path: Path, rows: list[Any], numbers: np.ndarray) -> Chunk:
    flat = []
    for row, number in zip(rows, numbers, strict=True):
        if not isinstance(row, dict):
            raise InputError(f"{path}: row {number} is {type(row).__name__}, expected an object")
        flat.append(_flattened(row) if any(isinstance(value, dict) for value in row.values()) else row)
    names = dict.fromkeys(name for row in flat for name in row)
    return Chunk({name: [row.get(name) for row in flat] for name in names}, numbers)


def _flattened(row: dict[str, Any], prefix: str = "", depth: int = 1) -> dict[str, Any]:
    found = {}
    for name, value in row.items():
        if isinstance(value, dict) and depth < MAX_NESTING:
            found |= _flattened(value, f"{prefix}{name}.", depth + 1)
        else:
            found[prefix + name] = value
    return found


def _parquet(path: Path) -> Iterator[Chunk]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(f"{path}: reading Parquet needs the package pyarrow: pip install pyarrow") from None
    try:
        number = 1
        for batch in parquet.ParquetFile(path).iter_batches():
            columns = {name: _arrow_cells(pyarrow, batch.column(i)) for i, name in enumerate(batch.schema.names)}
            if len(columns) < batch.num_columns:
                raise InputError(f"{path}: a column name stands twice, expected each name once")
            if batch.num_rows:
                yield Chunk(columns, np.arange(number, number + batch.num_rows))
            number += batch.num_rows
    except (pyarrow.ArrowException, OSError, UnicodeError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({' '.join(str(error).split())})") from None


def _arrow_cells(pyarrow: Any, column: Any) -> Sequence[Any]:
    kind = column.type
    if pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind):
        return column.cast("float64", safe=False).to_numpy(zero_copy_only=False)  # nulls become NaN
    return column.to_pylist()
