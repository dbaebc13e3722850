"""States on the disk: their names, one file's writing, and their reading, by rows where that is all a process needs.

A state is one safetensors file with its values as JSON in the header, named TOKEN-STEP-EVALUATIONS-SHA256.safetensors: written under
another name, flushed, then renamed. TOKEN is that of the claim (``laimbench.store.leases``) under which it was written, 0 without one.
Where several processes wrote it, it names parts, TOKEN-STEP-EVALUATIONS-partRANK-SHA256.safetensors, which were on the disk before it: a state
exists exactly when its file does. A part holds rows of tensors; its header says of which whole shape, and from which row on.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from laimbench.data.cache import sha256
from laimbench.errors import InputError
from laimbench.files import ODD_VALUES, make_folder, publish
from laimbench.train.state import capture
from laimbench.train.trainer import Trainer

HEADER, WRITING, PARTS = "laimbench", ".writing-", "parts"
NAME = re.compile(r"\d+-\d+-\d+-[0-9a-f]{64}\.safetensors")
PART = re.compile(r"\d+-\d+-\d+-part\d+-[0-9a-f]{64}\.safetensors")


def write_state(folder: Path, trainer: Trainer, token: int = 0) -> None:
    """Write a trainer's whole state into a folder, as one file."""
    make_folder(folder)
    write_file(folder, order_at(trainer, token), *capture(trainer))


def write_file(folder: Path, name: str, tensors: dict[str, Tensor], header: dict[str, Any]) -> str:
    """Write a file that has its name, which ends in its SHA-256, once it is whole and on the disk; return that name.

    Raises:
        OSError, SafetensorError: it cannot be written; nothing of it is left.
    """
    descriptor, path = tempfile.mkstemp(dir=folder, prefix=WRITING)
    os.close(descriptor)
    temporary = Path(path)
    try:
        here = {name: tensor.cpu() for name, tensor in tensors.items()}
        save_file(here, temporary, {HEADER: json.dumps(header, allow_nan=False)})
        name = f"{name}-{sha256(temporary)}.safetensors"
        publish(temporary, folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    return name


def order_at(trainer: Trainer, token: int) -> str:
    """Return what the names of a state of this moment begin with."""
    return f"{token:06}-{trainer.step:09}-{len(trainer.evaluations):04}"


def order_of(path: Path) -> tuple[int, ...]:
    """Return token, step and evaluations of a state, or of a part of one, by its name."""
    return tuple(int(number) for number in path.name.split("-")[:3])


def states(folder: Path) -> list[Path]:
    """Return the states, the newest last."""
    return sorted((path for path in folder.glob("*.safetensors") if NAME.fullmatch(path.name)), key=order_of)


def leftovers(folder: Path, token: int) -> list[Path]:
    """Return the parts of states that are not there, but those that the holder of a newer token may be writing."""
    kept = {order_of(path) for path in states(folder)}
    parts = (path for path in folder.glob("*.safetensors") if PART.fullmatch(path.name))
    return [path for path in parts if order_of(path) not in kept and order_of(path)[0] <= token]


def require_whole(path: Path) -> None:
    """Refuse a state's file, or a part, whose content does not have the hash in its name.

    Raises:
        InputError: it is damaged, or not there.
    """
    part = f"its part {path.name}: " if PART.fullmatch(path.name) else ""
    try:
        found = sha256(path)
    except OSError as error:
        raise InputError(f"{part}cannot be read ({error.strerror})") from None
    if found != path.stem.rsplit("-", 1)[1]:
        raise InputError(f"{part}damaged, its SHA-256 is not the one in its name")


def parts_of(path: Path) -> list[Path]:
    """Return the parts of a state; none where its file holds all of it.

    Raises:
        InputError: it cannot be read.
    """
    with _naming_odd_content(), safe_open(path, framework="pt") as stream:
        names = json.loads(stream.metadata()[HEADER]).get(PARTS, [])
        if not all(PART.fullmatch(name) for name in names):  # nothing outside its folder
            raise InputError(f"its parts are {names}, expected names of parts")
        return [path.parent / name for name in names]


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a state's whole tensors and values, though it be in parts.

    Raises:
        InputError: it, or a part, is damaged or missing.
    """
    require_whole(path)
    for part in parts_of(path):
        require_whole(part)
    with opened(path) as stored:
        return {name: stored.whole(name) for name in stored.shapes}, stored.description


class Stored:
    """What is in a state's open files.

    shapes: of its tensors when they are whole. description: what it says beside tensors.
    """

    def __init__(self, streams: list[safe_open]):
        """streams: the state's file, then its parts."""
        self.shapes: dict[str, torch.Size] = {}
        self._pieces: dict[
            str, list[tuple[int, int, safe_open]]
        ] = {}  # first row, the one after the last, where they are
        headers = [json.loads(stream.metadata()[HEADER]) for stream in streams]
        self.description = headers[0]
        for index, (stream, header) in enumerate(zip(streams, headers, strict=True)):
            for name in stream.keys():  # noqa: SIM118 - not a dict
                shape = stream.get_slice(name).get_shape()
                whole, first = (header[name]["shape"], header[name]["offset"]) if index else (shape, 0)
                self.shapes[name] = torch.Size(whole)
                self._pieces.setdefault(name, []).append((first, first + shape[0] if shape else 1, stream))
        for pieces in self._pieces.values():
            pieces.sort(key=lambda piece: piece[0])

    def whole(self, name: str) -> Tensor:
        """Return a tensor with all its rows; it may have none, or no dimension."""
        shape = self.shapes[name]
        # Copies, here and below: the optimizer keeps what it is given, and would train in a mapping of the file.
        return self.rows(name, 0, shape[0]) if shape and shape[0] else self._pieces[name][0][2].get_tensor(name).clone()

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Return some rows of a tensor, at least one, from the files that have them.

        Raises:
            InputError: none has.
        """
        found, at = [], start
        for first, end, stream in self._pieces[name]:
            if first <= at < min(end, stop):
                found.append(stream.get_slice(name)[at - first : min(end, stop) - first])
                at = min(end, stop)
        if at != stop:
            raise InputError(f"rows {at} to {stop} of {name} are in none of its parts")
        return torch.cat(found)


@contextmanager
def opened(path: Path) -> Iterator[Stored]:
    """Yield what is in a state whose files are whole.

    Raises:
        InputError: it cannot be read, also while it is open.
    """
    with _naming_odd_content(), ExitStack() as stack:
        yield Stored([stack.enter_context(safe_open(file, framework="pt")) for file in (path, *parts_of(path))])


@contextmanager
def _naming_odd_content() -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (OSError, SafetensorError, *ODD_VALUES) as error:
        raise InputError(f"cannot be read ({error})") from None
