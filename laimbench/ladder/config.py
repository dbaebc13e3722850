"""A ladder as a TOML file."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from laimbench.errors import InputError
from laimbench.train import RunConfig
from laimbench.train.schedule import warmup_steps

COMMON_KEYS = ("family", "data", "dtype", "device")  # at the top, of all runs
TOP_KEYS = ("name", *COMMON_KEYS, "backends", "seeds", "tokens", "sizes", "train")
SIZE_KEYS = ("size", "width", "depth", "heads", "kv_heads", "hidden", "tokens", "batch_size", "lr")
ELSEWHERE = ("family", "backend", "seed", "width", "depth", "tokens", "device")
TRAIN_KEYS = tuple(f.name for f in fields(RunConfig) if f.name not in ELSEWHERE)


@dataclass(frozen=True)
class Ladder:
    """A named list of runs. Runs that differ in their backend only stand together, as a group."""

    name: str
    groups: tuple[tuple[RunConfig, ...], ...]

    @property
    def runs(self) -> list[RunConfig]:
        return [run for group in self.groups for run in group]

    @property
    def device(self) -> str:
        """What all its runs are trained on."""
        return next((run.device for run in self.runs), "")


def load_ladder(path: Path, device: str | None = None) -> Ladder:
    """Read a ladder, to be trained on this device in place of its own.

    Raises:
        InputError: naming the file, the field, what it was and what was expected.
    """
    values = read_values(path) | ({} if device is None else {"device": device})
    try:
        return make_ladder(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_values(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        InputError: there is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError, RecursionError) as error:
        raise InputError(f"{path}: not a TOML file ({error})") from None


def make_ladder(values: dict[str, Any]) -> Ladder:
    """Build a ladder from the values of its TOML file.

    Raises:
        InputError: for an unknown key or a wrong value, without the file's name.
    """
    _refuse_unknown(values, TOP_KEYS, "")
    name = values.get("name")
    if not isinstance(name, str) or not name:
        raise InputError(f"name is {name!r}, expected a string")
    backends = _list(values, "backends", str, ["torch", "laim"])
    seeds = _list(values, "seeds", int, [0])
    sizes = values.get("sizes")
    if not isinstance(sizes, list) or not sizes or not all(isinstance(size, dict) for size in sizes):
        raise InputError(
            "sizes is missing, expected one or more [[sizes]] tables with size (or width and depth) and tokens"
        )
    train = values.get("train", {})
    _refuse_unknown(train, TRAIN_KEYS, "train.")
    common = {key: values[key] for key in COMMON_KEYS if key in values} | train

    groups = []
    for index, size in enumerate(sizes):
        where = f"sizes[{index}]."
        _refuse_unknown(size, SIZE_KEYS, where)
        budgets = _list(size, "tokens", int, values.get("tokens", []), where)
        if not budgets:
            raise InputError(f"{where}tokens is missing, expected a list of token budgets, here or at the top")
        own = {key: value for key, value in size.items() if key != "tokens"}
        own |= _shared_warmup({**common, **own}, budgets, where)
        for tokens in budgets:
            for seed in seeds:
                try:
                    group = [
                        RunConfig.from_dict({**common, **own, "tokens": tokens, "seed": seed, "backend": backend})
                        for backend in backends
                    ]
                except InputError as error:
                    raise InputError(f"{where}{error}") from None
                groups.append(tuple(group))
    return Ladder(name, tuple(groups))


def _shared_warmup(values: dict[str, Any], budgets: list[int], where: str) -> dict[str, int]:
    """Return the warm-up of "wsd" runs of several token budgets: that of the least, in steps, so that they share a trunk."""
    if values.get("schedule") != "wsd" or "warmup_steps" in values or len(budgets) < 2:
        return {}
    try:
        least = RunConfig.from_dict({**values, "tokens": min(budgets)})
    except InputError as error:
        raise InputError(f"{where}{error}") from None
    return {"warmup_steps": warmup_steps(least.total_steps, least.warmup_fraction)}


def _refuse_unknown(values: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in values:
        if key not in known:
            raise InputError(f"unknown key {where + key!r}, expected one of {', '.join(known)}")


def _list(values: dict[str, Any], key: str, kind: type, default: list, where: str = "") -> list:
    found = values.get(key, default)
    found = found if isinstance(found, list) else [found]
    for value in found:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"{where}{key} has {value!r}, expected {'integers' if kind is int else 'strings'}")
    if len(set(found)) != len(found):
        raise InputError(f"{where}{key} names {found} with repetition, expected each once")
    return found
