"""States that the processes of a run by fsdp write and read together, each its own share: no process holds a whole one.

What is not said to be done by the first process is done by all, by the others when the first one announces it, and ends in all alike: what fails
in one is agreed on before any goes on, for one that raised alone would leave the others waiting.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from laimbench.errors import InputError
from laimbench.files import make_folder
from laimbench.train.parallel import Shards
from laimbench.train.state import aside, go_on, like_parts, place, require_fit, require_same_run, weights_and_moments
from laimbench.train.stored import PARTS, WRITING, Stored, opened, order_at, parts_of, require_whole, write_file
from laimbench.train.trainer import Trainer


def write_in_parts(folder: Path, trainer: Trainer, token: int) -> None:
    """Write a state of which each process writes a part, then the first one the file that makes them a state. By the first process.

    Raises:
        OSError, SafetensorError: it cannot be written, by whichever process.
    """
    make_folder(folder)
    order = order_at(trainer, token)
    names = write_part(folder / order, trainer)
    tensors, description = aside(trainer)
    for name, tensor in weights_and_moments(trainer).items():
        if trainer.processes.own_rows(tensor) is None:
            tensors[name] = tensor.detach().contiguous()
    write_file(folder, order, tensors, {**description, PARTS: names})


def write_part(order: Path, trainer: Trainer) -> list[str]:
    """Write each process's rows of weights and moments to a part; return the names of all. order: the folder, and what they begin with.

    Raises:
        OSError: a process, which is named, cannot write its part.
    """
    processes = trainer.processes
    processes.announce("part", text=str(order.absolute()))

    with _agreed(processes, OSError):
        tensors, header = {}, {}
        for name, tensor in weights_and_moments(trainer).items():
            rows = processes.own_rows(tensor)
            if rows and rows[0] < rows[1]:
                tensors[name] = tensor.detach().to_local().contiguous()
                header[name] = {"shape": list(tensor.shape), "offset": rows[0]}
        written = write_file(order.parent, f"{order.name}-part{processes.rank}", tensors, header)
    return processes.report(written)


def restore_from_slices(path: Path, trainer: Trainer) -> dict[str, Any]:
    """Put a fresh trainer into a state of which each process reads what it needs, be it in parts, and in however many; return its description.

    The processes share out the hashing.

    Raises:
        InputError: in one of them, which is named, it is damaged, missing, or another run's. The trainer is as it was.
    """
    processes = trainer.processes
    if processes.rank == 0:
        require_whole(path)
    processes.announce("slices", text=str(path.absolute()))

    with _agreed(processes, InputError):
        for part in parts_of(path)[processes.rank :: processes.count]:
            require_whole(part)
    with _agreed(processes, InputError), opened(path) as stored:
        description = stored.description
        require_same_run(trainer, description)
        moments = require_fit(trainer, stored.shapes)
        own = {name: _read(stored, name, like, processes) for name, like in like_parts(trainer, moments).items()}
        if processes.rank == 0:
            own |= {name: stored.whole(name) for name in stored.shapes.keys() - own.keys()}
    place(trainer, lambda name, like: own[name], moments)
    if processes.rank == 0:
        go_on(trainer, own, description)
    return description


def seen_by_all(path: Path, processes: Shards) -> bool:
    """Return whether every process sees this file, and may write beside it."""
    processes.announce("look", text=str(path.absolute()))
    return all(processes.report("seen" if os.access(path, os.F_OK) and os.access(path.parent, os.W_OK) else ""))


def shared(folder: Path, processes: Shards) -> bool:
    """Return whether every process sees what another writes into a folder. By the first process.

    Raises:
        OSError: the first process cannot write there.
    """
    make_folder(folder)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=WRITING) as probe:
        return seen_by_all(Path(probe.name), processes)


def _read(stored: Stored, name: str, like: Tensor, processes: Shards) -> Tensor:
    """Return this process's part, as ``like`` is one, of a tensor."""
    rows = processes.own_rows(like)
    if rows is None:
        return stored.whole(name)
    none = rows[0] == rows[1]
    own = like.to_local()
    return processes.as_part(torch.empty_like(own) if none else stored.rows(name, *rows).to(own.device), like)


@contextmanager
def _agreed(processes: Shards, error: type[Exception]) -> Iterator[None]:
    """What fails in one process fails in all.

    Raises:
        error: in each of them, naming the first where it failed.
    """
    said = ""
    try:
        yield
    except (OSError, SafetensorError, InputError) as failure:
        said = " ".join(str(failure).split())
    for rank, failure in enumerate(processes.report(said)):
        if failure:
            raise error(f"rank {rank}: {failure}")
