"""Weights by the names of one layout and of the other: one table for both directions, read from safetensors only."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from laimbench.errors import InputError
from laimbench.train.checkpoint import read_safetensors

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class Entry:
    """One of our parameters and theirs. sizes: rows of each of theirs, where ours is several of theirs stacked.
    transposed: theirs is (inputs, outputs), as GPT-2's Conv1D has it.
    """

    ours: str
    theirs: tuple[str, ...]
    sizes: tuple[int, ...] = ()
    transposed: bool = False


def pairs(names: Mapping[str, str], suffixes: Iterable[str]) -> list[Entry]:
    """Return the entries of layers that have the same parameters under both names."""
    return [Entry(f"{ours}.{s}", (f"{theirs}.{s}",)) for ours, theirs in names.items() for s in suffixes]


def to_theirs(table: Iterable[Entry], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by their names."""
    found = {}
    for entry in table:
        value = parameters[entry.ours].detach()
        parts = value.split(list(entry.sizes)) if entry.sizes else (value,)
        for name, part in zip(entry.theirs, parts, strict=True):
            found[name] = (part.t() if entry.transposed else part).contiguous().clone()
    return found


class Weights:
    """The weights of a folder in float32; what nobody takes is left over."""

    def __init__(self, folder: Path, values: dict[str, Tensor]):
        self.folder, self.values = folder, values

    def rename(self, old: str, new: str) -> None:
        """Replace a part of all names."""
        self.values = {name.replace(old, new): value for name, value in self.values.items()}

    def take(self, name: str) -> Tensor:
        if name not in self.values:
            raise InputError(f"{self.folder}: {name} is missing among its weights")
        return self.values.pop(name)

    def drop(self, wanted) -> list[str]:
        """Leave out the weights whose names are ``wanted``; return their names."""
        names = [name for name in self.values if wanted(name)]
        for name in names:
            del self.values[name]
        return names

    def take_copy(self, name: str, of: Tensor) -> None:
        """Take a second copy of a tied weight, where there is one."""
        if name in self.values and not torch.equal(self.take(name), of):
            raise InputError(f"{self.folder}: {name} is not the weight that it should be tied to")

    def to_ours(self, table: Iterable[Entry]) -> dict[str, Tensor]:
        """Return weights by our names."""
        found = {}
        for entry in table:
            parts = [self.take(name) for name in entry.theirs]
            for name, part, size in zip(entry.theirs, parts, entry.sizes, strict=False):
                if part.shape[:1] != (size,):
                    raise InputError(f"{self.folder}: {name} is {tuple(part.shape)}, expected {size} rows")
            value = torch.cat(parts)
            found[entry.ours] = value.t().contiguous() if entry.transposed else value
        return found

    def finish(self) -> None:
        for name in self.values:
            raise InputError(f"{self.folder}: {name} is not a weight that its config.json speaks of")


def read_weights(folder: Path) -> Weights:
    """Read model.safetensors, or the files that model.safetensors.index.json names.

    Raises:
        InputError: no such file, a damaged one, or pickled weights only.
    """
    if (folder / WEIGHTS).is_file():
        return Weights(folder, _read(folder / WEIGHTS))
    if (folder / INDEX).is_file():
        values: dict[str, Tensor] = {}
        for name in _shards(folder / INDEX):
            values.update(_read(folder / name))
        return Weights(folder, values)
    for name in PICKLES:
        if (folder / name).exists():
            raise InputError(
                f"{folder / name}: pickled weights can run code when they are read, and are not; convert them where you trust "
                "them: transformers' from_pretrained(FOLDER).save_pretrained(NEW) writes model.safetensors"
            )
    raise InputError(f"{folder}: no weights, expected {WEIGHTS} or {INDEX}")


def _shards(path: Path) -> list[str]:
    try:
        names = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
        if all(Path(name).name == name and name.endswith(".safetensors") for name in names):
            return names
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error!r})") from None
    raise InputError(f"{path}: names files outside its folder or not of safetensors")


def _read(path: Path) -> dict[str, Tensor]:
    return {name: value.float() for name, value in read_safetensors(path).items()}
