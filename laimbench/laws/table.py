"""Tables of runs from files: CSV, JSON lines, Parquet where pyarrow is installed."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.errors import InputError

FLOPS_PER_PARAMETER_AND_TOKEN = 6.0  # C = 6 N D


@dataclass(frozen=True)
class Table:
    """Columns of numbers by name, all of one length."""

    path: Path
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def runs(self) -> dict[str, np.ndarray]:
        """Return params, tokens, flops and loss as far as they are there; the third of the first three by C = 6 N D."""
        known = {name: self.columns[name] for name in ("params", "tokens", "flops", "loss") if name in self.columns}
        if "loss" not in known:
            raise InputError(
                f"{self.path}: no column loss, has {', '.join(self.columns)}; name it by --columns loss=NAME"
            )
        if {"params", "flops"} <= known.keys() and "tokens" not in known:
            known["tokens"] = known["flops"] / (FLOPS_PER_PARAMETER_AND_TOKEN * known["params"])
        if {"params", "tokens"} <= known.keys() and "flops" not in known:
            known["flops"] = FLOPS_PER_PARAMETER_AND_TOKEN * known["params"] * known["tokens"]
        return known


def read_table(path: str | Path, columns: dict[str, str] | None = None, where: dict[str, str] | None = None) -> Table:
    """Read the columns that are wanted.

    Args:
        path: .csv, .jsonl or .parquet.
        columns: our name (params, tokens, flops, loss, ...) -> the file's; by default the file's names are ours.
        where: column of the file -> value; rows with another value are left out.

    Raises:
        InputError: naming file, row (the header is row 1), column, what stood there and what was expected.
    """
    path = Path(path)
    wanted = {name: name for name in ("params", "tokens", "flops", "loss")} | (columns or {})
    values: dict[str, list[float]] = {}
    rows = 0
    for number, row in _rows(path):
        if rows == 0:
            for name in [*(columns or {}).values(), *(where or {})]:
                if name not in row:
                    raise InputError(f"{path}: no column {name!r}, has {', '.join(map(str, row))}")
            values = {ours: [] for ours, theirs in wanted.items() if theirs in row}
        rows += 1
        if any(not _equal(row[name], value) for name, value in (where or {}).items()):
            continue
        for ours in values:
            values[ours].append(_number(path, number, wanted[ours], row.get(wanted[ours])))
    if rows == 0:
        raise InputError(f"{path}: no rows, expected a table of runs")
    return Table(path, {name: np.array(column) for name, column in values.items()})


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            yield from enumerate(_parquet(path), start=1)
        elif suffix in (".jsonl", ".ndjson"):
            yield from _json_lines(path)
        else:
            with path.open(newline="", encoding="utf-8-sig") as stream:
                yield from enumerate(csv.DictReader(stream), start=2)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable table ({error})") from None


def _parquet(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(f"{path}: reading Parquet needs the package pyarrow: pip install pyarrow") from None
    try:
        return pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: not a readable Parquet file ({error})") from None


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}: line {number} is not JSON ({error})") from None
            if not isinstance(row, dict):
                raise InputError(f"{path}: line {number} is {type(row).__name__}, expected an object")
            yield number, row


def _number(path: Path, row: int, column: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{path}: row {row}, column {column!r} is {value!r}, expected a number") from None
    if not (np.isfinite(number) and number > 0):
        raise InputError(f"{path}: row {row}, column {column!r} is {value!r}, expected a positive finite number")
    return number


def _equal(found: Any, wanted: str) -> bool:
    try:
        return float(found) == float(wanted)
    except (TypeError, ValueError):
        return str(found) == wanted
