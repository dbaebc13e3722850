"""Filters of rows as text: ``params >= 1.3B and (kind = a or not seed in (3, 4))``. Parsed here, never evaluated as code.

    filter     := any ("," any)*                    a comma is an "and" that binds weakest
    any        := all ("or" all)*
    all        := unit ("and" unit)*
    unit       := "not" unit | "(" any ")" | COLUMN test
    test       := ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") VALUE | ["not"] "in" "(" VALUE ("," VALUE)* ")"

COLUMN is a bare word, or quoted by ` or " where it holds spaces. VALUE is a bare word, a number with a unit (1.3B, 3 PF-days), or
text quoted by ' or "; a quote is doubled to stand for itself. Words of the language are written in either case.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.units import parse_flops, parse_number

MAX_LENGTH = 10_000  # characters
MAX_DEPTH = 50  # of parentheses and nots
OPERATORS = ("=", "!=", "<", "<=", ">", ">=")

_TOKEN = re.compile(
    r"""\s*(?:(?P<op><=|>=|!=|==|=|<|>)|(?P<mark>[(),])"""
    r"""|(?P<quoted>`(?:[^`]|``)*`|"(?:[^"]|"")*"|'(?:[^']|'')*')|(?P<word>[^\s(),=<>!`"']+))"""
)


@dataclass(frozen=True)
class Value:
    """A value as written; number is None where it is none. Quoted text is also a number if it reads as one."""

    text: str
    number: float | None


@dataclass(frozen=True)
class Comparison:
    """One column against one value (an operator) or several ("in")."""

    column: str
    operator: str
    values: tuple[Value, ...]

    def mask(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        if self.column not in columns:
            raise InputError(f"no column {self.column!r}, has {listed(columns)}")
        cells = columns[self.column]
        numeric = cells.dtype.kind == "f"
        if self.operator in ("in", "=", "!="):
            equal = _equal_numbers if numeric else _equal_texts
            found = np.zeros(len(cells), dtype=bool)
            for value in self.values:
                found |= equal(self.column, cells, value)
            return ~found if self.operator == "!=" else found
        number = self.values[0].number
        if not numeric:
            raise InputError(f"column {self.column!r} holds text, {self.operator} compares numbers; use = or in")
        if number is None:
            raise InputError(f"column {self.column!r} holds numbers, {self.values[0].text!r} is none")
        compare = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[self.operator]
        return compare(cells, number)


@dataclass(frozen=True)
class Not:
    part: "Condition"

    def mask(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        return ~self.part.mask(columns)


@dataclass(frozen=True)
class Joined:
    """All parts ("and") or any of them ("or")."""

    word: str
    parts: tuple["Condition", ...]

    def mask(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        join = np.logical_and if self.word == "and" else np.logical_or
        found = self.parts[0].mask(columns)
        for part in self.parts[1:]:
            found = join(found, part.mask(columns))
        return found


Condition = Comparison | Not | Joined


def parse_where(text: str) -> Condition:
    """Parse a filter; ``.mask(columns)`` of the result gives (rows,) booleans for arrays of floats or of str by name.

    A number that is missing (NaN) fails every comparison but ``!=`` and ``= nan``.

    Raises:
        InputError: what is wrong and at which character (the first is 1); from ``mask``: a column that is not there (naming
            those that are), text compared with numbers.
    """
    return _Parser(text).filter()


def equalities(wanted: Mapping[str, object]) -> Condition:
    """Return the filter ``column = value and ...`` of a mapping with at least one entry."""
    return Joined("and", tuple(Comparison(name, "=", (_value(str(value)),)) for name, value in wanted.items()))


def listed(names, limit: int = 30) -> str:
    """Return names as one line for a message."""
    shown = [" ".join(str(name).split())[:60] for name in names]
    return ", ".join(shown[:limit]) + (f" and {len(shown) - limit} more" if len(shown) > limit else "")


def _value(text: str) -> Value:
    if text.lower() == "nan":
        return Value(text, float("nan"))
    for parse in (parse_number, parse_flops):
        try:
            return Value(text, parse(text))
        except InputError:
            continue
    return Value(text, None)


def _equal_numbers(column: str, cells: np.ndarray, value: Value) -> np.ndarray:
    if value.number is None:
        raise InputError(f"column {column!r} holds numbers, {value.text!r} is none")
    return np.isnan(cells) if np.isnan(value.number) else cells == value.number


def _equal_texts(_: str, cells: np.ndarray, value: Value) -> np.ndarray:
    """Compare as text, numbers by value (``1`` is ``1.0``), true and false in either case."""
    lower = value.text.lower()
    wanted = {
        cell
        for cell in set(cells.tolist())
        if cell == value.text
        or (lower in ("true", "false") and cell.lower() == lower)
        or (value.number is not None and _float(cell) == value.number)
    }
    return np.fromiter((cell in wanted for cell in cells), dtype=bool, count=len(cells))


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class _Token:
    kind: str  # op, mark, quoted, word, end
    text: str
    start: int  # first character, from 1
    end: int


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str):
        if len(text) > MAX_LENGTH:
            raise InputError(f"filter has {len(text)} characters, expected {MAX_LENGTH} at most")
        self.text, self.next, self.depth = text, 0, 0
        self.tokens = self._tokens()

    def _tokens(self) -> list[_Token]:
        found, position, stop = [], 0, len(self.text.rstrip())
        while position < stop:
            match = _TOKEN.match(self.text, position)
            if not match:
                start = position + len(self.text[position:]) - len(self.text[position:].lstrip())
                what = "a quote that does not end" if self.text[start] in "`\"'" else repr(self.text[start])
                self._fail(what, start + 1, "a column, a comparison or a value")
            kind = match.lastgroup
            found.append(_Token(kind, match[kind], match.start(kind) + 1, match.end()))
            position = match.end()
        return [*found, _Token("end", "", len(self.text) + 1, len(self.text))]

    def filter(self) -> Condition:
        parts = [self._any()]
        while self._take("mark", ","):
            parts.append(self._any())
        if self.token.kind != "end":
            self._unexpected("'and', 'or', ',' or the end")
        return _join("and", parts)

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._take("word", "or"):
            parts.append(self._all())
        return _join("or", parts)

    def _all(self) -> Condition:
        parts = [self._unit()]
        while self._take("word", "and"):
            parts.append(self._unit())
        return _join("and", parts)

    def _unit(self) -> Condition:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail("nested too deeply", self.token.start, f"{MAX_DEPTH} levels at most")
        if self._take("word", "not"):
            found = Not(self._unit())
        elif self._take("mark", "("):
            found = self._any()
            self._expect("mark", ")")
        else:
            found = self._comparison()
        self.depth -= 1
        return found

    def _comparison(self) -> Condition:
        column = self.token
        quoted = column.kind == "quoted" and column.text[0] != "'"
        if not quoted and (column.kind != "word" or column.text.lower() in ("and", "or", "in")):
            self._unexpected("a column")
        self.next += 1
        name = _unquoted(column.text) if quoted else column.text
        if self.token.kind == "op":
            operator = "=" if self.token.text == "==" else self.token.text
            self.next += 1
            return Comparison(name, operator, (self._value(),))
        negated = self._take("word", "not")
        if not self._take("word", "in"):
            self._unexpected("'in'" if negated else "= != < <= > >= or in")
        self._expect("mark", "(")
        values = [self._value()]
        while self._take("mark", ","):
            values.append(self._value())
        self._expect("mark", ")")
        found = Comparison(name, "in", tuple(values))
        return Not(found) if negated else found

    def _value(self) -> Value:
        token = self.token
        if token.kind == "quoted" and token.text[0] != "`":
            self.next += 1
            return _value(_unquoted(token.text))
        if token.kind != "word" or token.text.lower() in ("and", "or", "not", "in"):
            self._unexpected("a value (quote text with spaces)")
        self.next += 1
        found, unit = _value(token.text), self.token
        if found.number is not None and unit.kind == "word" and unit.text.lower() not in ("and", "or"):
            with_unit = _value(f"{token.text} {unit.text}")  # 3 PF-days
            if with_unit.number is None:
                self._unexpected(f"'and', 'or', ',' or a unit after {token.text}")
            self.next += 1
            return with_unit
        return found

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def _take(self, kind: str, text: str) -> bool:
        found = self.token.kind == kind and self.token.text.lower() == text
        self.next += found
        return found

    def _expect(self, kind: str, text: str) -> None:
        if not self._take(kind, text):
            self._unexpected(repr(text))

    def _unexpected(self, wanted: str) -> None:
        token = self.token
        self._fail("it ends" if token.kind == "end" else repr(token.text[:60]), token.start, wanted)

    def _fail(self, what: str, position: int, wanted: str) -> None:
        raise InputError(f"filter, character {position}: {what}, expected {wanted}")


def _join(word: str, parts: list[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])
