"""Documents of one file, streamed: plain text, JSON lines, Parquet, Arrow; gzip and zstd around the first two.

Nothing here keeps more than a piece of a document or a row group in memory, and nothing raises for a broken file: what
cannot be read is reported as a ``Problem`` and left out.
"""

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

PIECE_BYTES = 1 << 20  # a longer document comes in several pieces, cut at a line's end where there is one
LINE_BYTES = 64 << 20  # a longer line of JSON is passed over
ZSTD_BYTES = 1 << 11  # read at once: they may hold up to 64 MiB
COMPRESSED = (".gz", ".zst")
LINES = (".jsonl", ".ndjson")
PARQUET, ARROW = ".parquet", ".arrow"
EMPTY = "is empty"


@dataclass(frozen=True)
class Problem:
    """What was left out or replaced, and where; line 0 stands for the whole file, rows of a table count as lines."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        file = self.file.encode("utf-8", "backslashreplace").decode()  # a name need not be UTF-8
        return f"{file}{f':{self.line}' if self.line else ''}: {self.what}"


@dataclass(frozen=True)
class Piece:
    """A document or, of one longer than PIECE_BYTES, a part; ``whole`` is false where the document breaks off here."""

    name: str
    text: str
    last: bool
    whole: bool = True


Report = Callable[[Problem], None]


def read_documents(path: Path, name: str, field: str, report: Report) -> Iterator[Piece]:
    """Yield the documents of a file by its suffix; ``field`` is the text's key in JSON lines and its column in tables."""
    suffix = inner_suffix(path)
    if suffix in LINES:
        yield from _guarded(_read_lines(path, name, field, report), name, report)
    elif suffix in (PARQUET, ARROW):
        yield from _guarded(_read_table(path, name, field, report, suffix), name, report)
    else:
        yield from read_text(path, name, report)


def inner_suffix(path: Path) -> str:
    """Return the suffix without a compression's."""
    return Path(path.stem).suffix if path.suffix in COMPRESSED else path.suffix


def read_text(path: Path, name: str, report: Report, start: int = 0, stop: int | None = None) -> Iterator[Piece]:
    """Yield bytes [start, stop) of a file as one document; bytes that are not UTF-8 become U+FFFD and are reported."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    line, replaced, first_line = 1, 0, 0
    waiting: str | None = None  # one piece back, so that the last one is known as such
    carried = ""  # behind the last line's end of what was read
    try:
        for block in read_blocks(path, start, stop):
            if waiting is None and not carried and b"\0" in block:
                report(Problem(name, 0, "holds NUL bytes: not UTF-8 text"))
                return
            text = decoder.decode(block)
            bad = 0 if text.isascii() else text.count("\ufffd") - block.count(b"\xef\xbf\xbd")
            if bad > 0:
                replaced += bad
                first_line = first_line or line + text.count("\n", 0, text.index("\ufffd"))
            line += text.count("\n")
            text = carried + text
            cut = text.rfind("\n") + 1
            if not cut and len(text) >= PIECE_BYTES:
                cut = len(text)
            text, carried = text[:cut], text[cut:]
            if text:
                if waiting is not None:
                    yield Piece(name, waiting, last=False)
                waiting = text
    except UNREADABLE as error:
        report(Problem(name, line, reason(error)))
        yield Piece(name, waiting or "", last=True, whole=False)
        return
    rest = carried + decoder.decode(b"", final=True)
    replaced += rest.endswith("\ufffd") and not carried.endswith("\ufffd")
    if replaced:
        report(
            Problem(name, first_line or line, f"{replaced} sequences that are not UTF-8 became U+FFFD, the first here")
        )
    if waiting is not None and (rest and len(waiting) + len(rest) > PIECE_BYTES):
        yield Piece(name, waiting, last=False)
        waiting = None
    text = (waiting or "") + rest
    if text:
        yield Piece(name, text, last=True)
    else:
        report(Problem(name, 0, EMPTY))


def read_blocks(path: Path, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Yield bytes [start, stop) of what a file holds, decompressed."""
    with open_blocks(path) as stream:
        left = start
        while left and (block := stream.read(min(left, PIECE_BYTES))):
            left -= len(block)
        left = None if stop is None else stop - start
        while left != 0 and (block := stream.read(PIECE_BYTES if left is None else min(left, PIECE_BYTES))):
            left = None if left is None else left - len(block)
            yield block


def open_blocks(path: Path) -> BinaryIO:
    """Open a file for its bytes, decompressed by its suffix."""
    if path.suffix == ".gz":
        return gzip.open(path)
    if path.suffix == ".zst":
        return io.BufferedReader(_Zstd(path), PIECE_BYTES)
    return path.open("rb")


class _Zstd(io.RawIOBase):
    """All frames of a zstd file; the package's own reader takes a file that breaks off for one that ends."""

    def __init__(self, path: Path):
        import zstandard

        self._new = zstandard.ZstdDecompressor().decompressobj
        self._stream, self._frame, self._held = path.open("rb"), None, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held:
            packed = (self._frame.unused_data if self._frame and self._frame.eof else b"") or self._stream.read(
                ZSTD_BYTES
            )
            if not packed:
                if self._frame and not self._frame.eof:
                    raise EOFError
                return 0
            if not self._frame or self._frame.eof:
                self._frame = self._new()
            self._held = memoryview(self._frame.decompress(packed))
        count = min(len(buffer), len(self._held))
        buffer[:count], self._held = self._held[:count], self._held[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def _read_lines(path: Path, name: str, field: str, report: Report) -> Iterator[Piece]:
    for number, line in raw_lines(path, name, report):
        yield from _row(name, number, _parse(line, field), report)


def raw_lines(path: Path, name: str, report: Report) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank with their numbers; too long ones, and where the file breaks off, are reported."""
    number = 0
    with open_blocks(path) as stream:
        try:
            while line := stream.readline(LINE_BYTES):
                number += 1
                if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                    while (rest := stream.readline(LINE_BYTES)) and not rest.endswith(b"\n"):
                        pass
                    report(Problem(name, number, f"a line of more than {LINE_BYTES} bytes"))
                elif line.strip():
                    yield number, line
        except UNREADABLE as error:
            report(Problem(name, number + 1, reason(error)))
    if not number:
        report(Problem(name, 0, EMPTY))


def _parse(line: bytes, field: str) -> Any:
    """Return the text of a line of JSON, or the ValueError that says why there is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return ValueError(f"not JSON ({type(error).__name__})")
    if not isinstance(row, dict) or field not in row:
        return ValueError(f"no field {field!r}")
    return row[field]


def _read_table(path: Path, name: str, field: str, report: Report, suffix: str) -> Iterator[Piece]:
    import pyarrow

    number = 0
    for batch in _batches(path, field, suffix):
        if field not in batch.schema.names:
            report(Problem(name, 0, f"no column {field!r}, has {', '.join(batch.schema.names[:8])}"))
            return
        column = batch.column(batch.schema.names.index(field))
        for scalar in column:
            number += 1
            try:
                text = scalar.as_py()
            except (UnicodeDecodeError, pyarrow.ArrowException):
                text = ValueError("not UTF-8")
            yield from _row(name, number, text, report)
    if not number:
        report(Problem(name, 0, "has no rows"))


def _batches(path: Path, field: str, suffix: str) -> Iterator[Any]:
    import pyarrow

    if suffix == ARROW:
        with pyarrow.memory_map(str(path)) as mapped:
            yield from pyarrow.ipc.open_stream(mapped)
        return
    from pyarrow import parquet

    with parquet.ParquetFile(path, memory_map=True) as table:
        columns = [field] if field in table.schema_arrow.names else None
        yield from table.iter_batches(batch_size=1024, columns=columns)


def _row(name: str, number: int, text: Any, report: Report) -> Iterator[Piece]:
    """Yield one row's document, or report why it is none."""
    if isinstance(text, str) and text:
        parts = list(_cut(without_surrogates(text)))
        for i, part in enumerate(parts):
            yield Piece(f"{name}:{number}", part, last=i + 1 == len(parts))
    else:
        reason = text if isinstance(text, ValueError) else "no text" if not text else f"{type(text).__name__}, not text"
        report(Problem(name, number, str(reason)))


def without_surrogates(text: str) -> str:
    """Return a text that has UTF-8: a lone surrogate, as JSON may spell, becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _cut(text: str) -> Iterator[str]:
    while len(text) > PIECE_BYTES:
        cut = text.rfind("\n", 0, PIECE_BYTES) + 1 or PIECE_BYTES
        yield text[:cut]
        text = text[cut:]
    yield text


def _guarded(pieces: Iterator[Piece], name: str, report: Report) -> Iterator[Piece]:
    """End quietly, with a report, where a file cannot be read at all or not further."""
    try:
        yield from pieces
    except UNREADABLE as error:
        report(Problem(name, 0, reason(error)))


def _unreadable() -> tuple[type[Exception], ...]:
    """Return what the readers raise for a broken file, a missing package included."""
    found: list[type[Exception]] = [OSError, EOFError, zlib.error, ImportError]
    try:
        import zstandard

        found.append(zstandard.ZstdError)
    except ImportError:
        pass
    try:
        import pyarrow

        found.append(pyarrow.ArrowException)
    except ImportError:
        pass
    return tuple(found)


UNREADABLE = _unreadable()


def reason(error: Exception) -> str:
    """Return why a file is UNREADABLE, for the user."""
    if isinstance(error, ImportError):
        return f"needs the package {error.name}, which is not installed"
    if isinstance(error, EOFError):
        return "the compressed data ends early; what follows is left out"
    return (
        f"cannot be read ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no more is known'})"
    )
