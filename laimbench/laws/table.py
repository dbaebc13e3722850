"""Tables of runs: from files, data frames or plain columns, under our names, with units read and every oddity named by row."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.flops import FLOPS_PER_PARAM_AND_TOKEN
from laimbench.laws import conventions
from laimbench.laws.columns import KNOWN, TRIO, Matched, match_columns
from laimbench.laws.readers import Chunk, read_chunks
from laimbench.laws.units import parse_flops, parse_number
from laimbench.laws.where import equalities, listed, parse_where

MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", "-"))
PARSERS = {"count": parse_number, "flops": parse_flops, "number": parse_number}


@dataclass(frozen=True)
class Table:
    """Columns by name, all of one length: (rows,) float64 where every cell is a number or missing (NaN), else str objects.

    source: a file's path or what the caller called it; rows: (rows,) each row's number there; names: our name -> the source's
    heading; derived: columns that follow from others by C = 6 N D; notes: what was guessed, scaled, derived or left out.
    """

    source: str
    columns: dict[str, np.ndarray]
    rows: np.ndarray
    names: dict[str, str] = field(default_factory=dict)
    derived: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, rows: Any) -> "Table":
        """Return the rows of a boolean mask or of indices."""
        return replace(
            self, rows=self.rows[rows], columns={name: column[rows] for name, column in self.columns.items()}
        )

    def finals(self) -> np.ndarray:
        """Return the indices of the rows that are results: all, or where columns run and step are there the last row of each run."""
        if not {"run", "step"} <= self.columns.keys():
            return np.arange(len(self))
        run = np.unique(self.columns["run"], return_inverse=True)[1].ravel()
        order = np.lexsort((self.columns["step"], run))
        return np.sort(order[np.append(np.diff(run[order]) != 0, True)])

    def runs(
        self, convention: str | None = None, params: str | None = None, target: str = "loss"
    ) -> dict[str, np.ndarray]:
        """Return the columns that are known to us: params, tokens, flops, loss and what else there is.

        Args:
            convention: the FLOPs': None as the table gives them (what it lacks by C = 6 N D), or one of
                ``conventions.FLOP_CONVENTIONS``.
            params: which parameters: None as the table gives them, or one of ``conventions.PARAM_CONVENTIONS``.
            target: the column that must be there; NaN in it is a run without a result.

        Raises:
            InputError: no such column, or the convention's columns are missing.
        """
        self.needs(target)
        table = self if convention is params is None else conventions.apply(self, params=params, flops=convention)
        return {name: column for name, column in table.columns.items() if name in KNOWN}

    def needs(self, *names: str) -> None:
        """Raise an InputError that names the first of these columns that is not there."""
        for name in names:
            if name not in self.columns:
                raise InputError(
                    f"{self.source}: no column {name}, has {listed(self.columns)}; name it by --columns {name}=NAME"
                )


def read_table(
    source: str | Path, columns: str | Mapping[str, str] | None = None, where: str | Mapping[str, Any] = ""
) -> Table:
    """Read a table of runs from a file.

    Args:
        source: CSV (also with ; tab or |), .tsv, .jsonl, .json, their .gz, or .parquet (needs pyarrow).
        columns: our name -> the file's, as a mapping or as text (``params=Model Size,tokens=D|flops=C``,
            ``columns.parse_columns``); what is not named is guessed by known synonyms, and noted.
        where: which rows (``where.parse_where``), or a mapping of column -> value. Columns by the file's name or by ours.

    Raises:
        InputError: naming file, row (of delimited text the header is row 1), column, what stood there and what was expected.
            Cells of params, tokens, flops must be positive numbers (1.3B, 3 PF-days are), a loss and other counts positive
            or missing; only the rows that ``where`` keeps are judged.
    """
    path = Path(source)
    return _table(str(path), lambda: read_chunks(path), columns, where)


def from_columns(
    data: Mapping[str, Any],
    columns: str | Mapping[str, str] | None = None,
    where: str | Mapping[str, Any] = "",
    source: str = "columns",
) -> Table:
    """Make a table of a mapping of names to sequences or arrays, all of one length. The rest as ``read_table``, rows from 1."""
    cells = {}
    for name, values in data.items():
        values = values.to_numpy() if hasattr(values, "to_numpy") else values
        if isinstance(values, np.ndarray):
            plain = values.ndim == 1
        else:
            plain = isinstance(values, Sequence) and not isinstance(values, str | bytes)
        if not plain:
            raise InputError(f"{source}: column {name!r} is {type(values).__name__}, expected one value per row")
        cells[str(name)] = values
    lengths = {name: len(values) for name, values in cells.items()}
    if len(set(lengths.values())) > 1:
        shown = listed(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"{source}: columns of unequal length ({shown}), expected as many rows each")
    if len(cells) < len(data):
        raise InputError(f"{source}: two columns have one name, has {listed(data)}")
    rows = np.arange(1, 1 + next(iter(lengths.values()), 0))
    return _table(source, lambda: [Chunk(cells, rows)] if len(rows) else [], columns, where)


def from_dataframe(
    frame: Any,
    columns: str | Mapping[str, str] | None = None,
    where: str | Mapping[str, Any] = "",
    source: str = "data frame",
) -> Table:
    """Make a table of a pandas or polars frame, or of anything with ``.columns`` and ``[name]``. The rest as ``from_columns``."""
    names = list(frame.columns)
    if len(set(map(str, names))) < len(names):
        raise InputError(f"{source}: two columns have one name, has {listed(names)}")
    return from_columns({name: frame[name] for name in names}, columns, where, source)


def _table(source: str, chunks: Callable[[], Iterable[Chunk]], wanted, where) -> Table:
    cells, rows = _gather(chunks)
    if not len(rows):
        raise InputError(f"{source}: no rows, expected a table of runs")
    try:
        matched = match_columns(list(cells), wanted)
        condition = equalities(where) if isinstance(where, Mapping) and where else parse_where(where) if where else None
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    columns, bad = _known(cells, matched)
    derived = _derive(columns)
    notes = list(matched.notes)
    notes += [
        f"column {name!r} of the source is not used: {name} is {theirs!r}"
        for name, theirs in matched.names.items()
        if name != theirs and name in cells
    ]
    notes += [f"{name} follows from C = 6 N D" for name in derived]
    table = Table(source, columns, rows, matched.names, derived, tuple(notes))
    if condition is not None:
        try:
            kept = condition.mask(cells | {name: columns[name] for name in columns if name not in cells})
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
        if not kept.any():
            raise InputError(f"{source}: none of {len(rows)} rows fits the filter, expected some")
        _check(table, bad, kept)
        table = replace(table.select(kept), notes=(*notes, f"the filter keeps {kept.sum()} of {len(rows)} rows"))
    else:
        _check(table, bad, np.ones(len(rows), dtype=bool))
    return table


def _gather(chunks: Callable[[], Iterable[Chunk]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return every column of a source as numbers or as text. Where text turns up after numbers, the source is read once more."""
    texts: set[str] = set()
    for _ in range(2):
        parts: dict[str, list[np.ndarray]] = {}
        rows: list[np.ndarray] = []
        late, before = False, 0
        for chunk in chunks():
            size = len(chunk.rows)
            rows.append(chunk.rows)
            for name in dict.fromkeys([*parts, *chunk.columns]):
                cells = chunk.columns.get(name, [None] * size)
                part = None if name in texts else _numbers(cells)
                if part is None:
                    late |= name not in texts and before > 0
                    texts.add(name)
                    part = _texts(cells)
                if name not in parts:
                    parts[name] = [_texts([None] * before) if name in texts else np.full(before, np.nan)]
                parts[name].append(part)
            before += size
        if not late:
            break
    joined = {name: np.concatenate([p for p in found if len(p)]) for name, found in parts.items()}
    return joined, np.concatenate(rows) if rows else np.empty(0, dtype=int)


def _numbers(cells: Sequence[Any]) -> np.ndarray | None:
    """Return cells as floats, missing ones as NaN; None if one is neither."""
    if isinstance(cells, np.ndarray):
        if cells.dtype.kind in "iuf":
            return cells.astype(float)
        cells = cells.tolist()
    if set(map(type, cells)) <= {str, int, float}:
        try:
            return np.fromiter(map(float, cells), dtype=float, count=len(cells))
        except (ValueError, OverflowError):
            pass
    found = np.empty(len(cells))
    for i, cell in enumerate(cells):
        value = _number(cell)
        if value is None:
            return None
        found[i] = value
    return found


def _number(cell: Any) -> float | None:
    if _is_missing(cell):
        return math.nan
    if isinstance(cell, bool | np.bool_ | bytes):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None
    except OverflowError:
        return math.inf


def _is_missing(cell: Any) -> bool:
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING
    return (
        cell is None or (isinstance(cell, float) and math.isnan(cell)) or type(cell).__name__ in ("NAType", "NaTType")
    )  # pandas', which need not be here


def _texts(cells: Sequence[Any]) -> np.ndarray:
    cells = cells.astype(str).tolist() if isinstance(cells, np.ndarray) and cells.dtype.kind in "mM" else cells
    found = np.empty(len(cells), dtype=object)
    for i, cell in enumerate(cells):
        found[i] = cell if type(cell) is str else "" if _is_missing(cell) else str(cell)
    return found


def _known(cells: dict[str, np.ndarray], matched: Matched) -> tuple[dict[str, np.ndarray], dict[str, dict[int, str]]]:
    """Return all columns, ours under our names and as numbers, and by our name what could not be read: row -> cell."""
    columns = {name: column for name, column in cells.items() if name not in matched.names.values()}
    bad: dict[str, dict[int, str]] = {}
    for ours, theirs in matched.names.items():
        column = cells[theirs]
        kind = KNOWN[ours].kind if ours in KNOWN else "label"
        if kind != "label" and column.dtype.kind == "O":
            column, bad[ours] = _with_units(column, PARSERS[kind])
        if ours in matched.factors:
            column = column * matched.factors[ours]
        if ours == "loss":
            column = np.where(np.isinf(column), np.nan, column)
        columns[ours] = column
    order = [*matched.names, *(name for name in columns if name not in matched.names)]
    return {name: columns[name] for name in order}, bad


def _with_units(column: np.ndarray, parse: Callable[[str], float]) -> tuple[np.ndarray, dict[int, str]]:
    read: dict[str, float | None] = {}
    for cell in set(column.tolist()):
        read[cell] = _number(cell)
        if read[cell] is None:
            try:
                read[cell] = parse(cell)
            except InputError:
                continue
    bad = {i: cell for i, cell in enumerate(column) if read[cell] is None}
    values = (math.nan if read[cell] is None else read[cell] for cell in column)
    return np.fromiter(values, dtype=float, count=len(column)), bad


def _derive(columns: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Add the third of params, tokens and flops where two are there."""
    missing = [name for name in TRIO if name not in columns]
    if len(missing) != 1:
        return ()
    params, tokens, flops = (columns.get(name) for name in TRIO)
    with np.errstate(all="ignore"):  # what is not positive is refused later
        if flops is None:
            columns["flops"] = FLOPS_PER_PARAM_AND_TOKEN * params * tokens
        else:
            columns[missing[0]] = flops / (FLOPS_PER_PARAM_AND_TOKEN * (tokens if params is None else params))
    return (missing[0],)


def _check(table: Table, bad: dict[str, dict[int, str]], kept: np.ndarray) -> None:
    """Refuse the first cell, among the rows that are kept, that is not what its column holds."""
    for name, cells in bad.items():
        i = next((i for i in cells if kept[i]), None)
        if i is not None:
            example = "a number" if KNOWN[name].kind == "number" else "a number such as 1.3B or 2e9"
            shown = repr(cells[i] if len(cells[i]) <= 60 else cells[i][:57] + "...")
            raise InputError(f"{_cell(table, name, i)} is {shown}, expected {example}")
    for name, column in table.columns.items():
        known = KNOWN.get(name)
        if (
            not known or not (name == "loss" or known.kind in ("count", "flops")) or name == "step"
        ):  # steps count from 0
            continue
        wrong = kept & ~((column > 0) & np.isfinite(column))
        if not known.required:
            wrong &= ~np.isnan(column)  # a missing loss is quality control's to drop, with a reason
        if wrong.any():
            i = int(wrong.argmax())
            value = "empty or NaN" if np.isnan(column[i]) else f"{column[i]:g}"
            raise InputError(f"{_cell(table, name, i)} is {value}, expected a positive finite number")


def _cell(table: Table, name: str, i: int) -> str:
    heading = "(from C = 6 N D)" if name in table.derived else repr(table.names[name])
    of = "" if table.names.get(name) == name else f" for {name}"
    return f"{table.source}: row {table.rows[i]}, column {heading}{of}"
