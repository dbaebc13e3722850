"""The options of a source name such as ``synthetic:markov?order=2&states=64``: typed, bounded, unknown ones named."""

from dataclasses import field, fields
from typing import Any, TypeVar

from laimbench.errors import InputError

Options = TypeVar("Options")


def option(default: int | float, low: float, high: float) -> Any:
    """Return a dataclass field that holds a number of the default's type in [low, high]."""
    return field(default=default, metadata={"low": low, "high": high})


def read_options(kind: type[Options], source: str, query: str) -> Options:
    """Fill the dataclass ``kind`` from ``key=value&key=value``.

    Raises:
        InputError: naming the source, the key, what it was and what was expected.
    """
    known = {f.name: f for f in fields(kind)}
    values: dict[str, int | float] = {}
    for pair in filter(None, query.split("&")):
        key, _, text = pair.partition("=")
        if key not in known:
            raise InputError(f"data {source!r}: unknown option {key!r}, expected one of {', '.join(known)}")
        if key in values:
            raise InputError(f"data {source!r}: {key} is given twice")
        low, high = known[key].metadata["low"], known[key].metadata["high"]
        number = type(known[key].default)
        try:
            value = number(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            expected = "an integer" if number is int else "a number"
            raise InputError(f"data {source!r}: {key} is {text!r}, expected {expected} from {low:g} to {high:g}")
        values[key] = value
    return kind(**values)
