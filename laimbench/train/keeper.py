"""Keep a run's state on disk while it trains, so that a kill at any moment costs little and changes nothing.

A state is one safetensors file with its values as JSON in the header, named TOKEN-STEP-EVALUATIONS-SHA256.safetensors: written under
another name, flushed, then renamed. The last KEPT of them stay; the newest whose content has the hash in its name is gone on with.
TOKEN is that of the claim (``laimbench.store.leases``) under which it was written, 0 without one.
"""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from laimbench.data.cache import sha256
from laimbench.errors import InputError, Unfinished
from laimbench.files import make_folder, publish
from laimbench.train.state import capture, changes, restore
from laimbench.train.trainer import Trainer

EVERY_S = 10.0  # of training between two states; at evaluations there may be more
MOST_OVERHEAD = 0.05  # of the time in training steps that writing may take, before EVERY_S and evaluations
ASSUMED_BYTES_PER_S, ASSUMED_S = 200e6, 0.02  # the cost of the first state, before one was measured
KEPT = 2
HEADER, WRITING = "laimbench", ".writing-"
NAME = re.compile(r"\d+-\d+-\d+-[0-9a-f]{64}\.safetensors")


class StateError(Unfinished):
    """A state that could not be written; the ones before are kept."""


class Keeper:
    """Keep the state of one run in a folder of its own.

    Args:
        every_s: seconds of training between two states; 0 writes one after every step, whatever it costs.
        token: of the claim under which this process trains.
        allowed: called before each writing but the last; what it raises keeps the state from being written.
    """

    def __init__(
        self,
        folder: Path,
        trainer: Trainer,
        *,
        every_s: float = EVERY_S,
        token: int = 0,
        allowed: Callable[[], None] = lambda: None,
    ):
        self.folder, self.trainer, self.every_s, self.token, self.allowed = folder, trainer, every_s, token, allowed
        self.spent_s = 0.0
        self._cost_s = ASSUMED_S + 3 * 4 * trainer.params / ASSUMED_BYTES_PER_S  # weights and two moments, 4 bytes each
        self._began_s = self._last_s = trainer.train_seconds
        self._saved: tuple[int, int] | None = None

    def resume(self) -> list[str] | None:
        """Put the trainer into the newest state that is whole; return lines on what was odd about it, None without a state."""
        self._remove_unfinished()
        notes = []
        for path in reversed(states(self.folder)):
            try:
                tensors, description = read_state(path)
                restore(self.trainer, tensors, description)
            except InputError as error:
                notes.append(f"{path}: not used: {error}")
                continue
            self._began_s = self._last_s = self.trainer.train_seconds
            self._saved = self._moment
            changed = changes(self.trainer, description)
            if changed:
                notes.append(f"goes on, but not bit for bit: {', '.join(changed)}")
            return notes
        return None

    def after_step(self) -> None:
        """Write a state when one is due."""
        if self.every_s == 0 or (self.trainer.train_seconds - self._last_s >= self.every_s and self._affordable()):
            self.save()

    def after_evaluation(self) -> None:
        """Write a state if it costs little."""
        if self.every_s == 0 or self._affordable():
            self.save()

    def save(self) -> None:
        """Write a state now, unless the trainer is in the middle of a step.

        Raises:
            StateError: it cannot be written, for example on a full disk.
        """
        started = time.perf_counter()
        self.allowed()
        self._save()
        self._cost_s = time.perf_counter() - started
        self.spent_s += self._cost_s
        self._last_s = self.trainer.train_seconds

    def save_last(self) -> None:
        """Write a state of what the last one does not have, as a process ends; it is not asked whether that is allowed, for the store
        may be what failed, and states under an older token are never preferred.
        """
        if self._moment != self._saved:
            self._save()

    def discard(self) -> None:
        """Forget all states: the run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self) -> None:
        """Forget all states: the run begins, from where its trainer stands."""
        self.discard()
        self._began_s = self._last_s = self.trainer.train_seconds

    @property
    def _moment(self) -> tuple[int, int]:
        return self.trainer.step, len(self.trainer.evaluations)

    def _save(self) -> None:
        if not self.trainer.between_steps:
            return
        try:
            self._write()
        except (OSError, SafetensorError) as error:
            raise StateError(
                f"{self.folder}: the state at step {self.trainer.step} cannot be written ({error}); started again, the "
                "run goes on from the one before"
            ) from None
        self._saved = self._moment

    def _affordable(self) -> bool:
        return self.spent_s + self._cost_s <= MOST_OVERHEAD * (self.trainer.train_seconds - self._began_s)

    def _write(self) -> None:
        write_state(self.folder, self.trainer, self.token)
        for old in [path for path in states(self.folder) if order_of(path)[0] <= self.token][:-KEPT]:
            old.unlink(missing_ok=True)

    def _remove_unfinished(self) -> None:
        for path in self.folder.glob(f"{WRITING}*"):
            path.unlink(missing_ok=True)


def write_state(folder: Path, trainer: Trainer, token: int = 0) -> None:
    """Write a trainer's state into a folder; it has its name once it is whole and on the disk."""
    make_folder(folder)
    tensors, description = capture(trainer)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=WRITING)
    os.close(descriptor)
    temporary = Path(name)
    try:
        save_file(tensors, temporary, {HEADER: json.dumps(description, allow_nan=False)})
        order = f"{token:06}-{trainer.step:09}-{len(trainer.evaluations):04}"
        publish(temporary, folder / f"{order}-{sha256(temporary)}.safetensors")
    finally:
        temporary.unlink(missing_ok=True)


def states(folder: Path) -> list[Path]:
    """Return the states, the newest last."""
    return sorted((path for path in folder.glob("*.safetensors") if NAME.fullmatch(path.name)), key=order_of)


def order_of(path: Path) -> tuple[int, ...]:
    """Return token, step and evaluations of a state by its name."""
    return tuple(int(part) for part in path.name.split("-")[:3])


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a state's tensors and values.

    Raises:
        InputError: it is damaged.
    """
    try:
        if sha256(path) != path.stem.rsplit("-", 1)[1]:
            raise InputError("damaged, its SHA-256 is not the one in its name")
        with safe_open(path, framework="pt") as stream:
            # Copies: the optimizer keeps what it is given, and would train in a mapping of the file.
            tensors = {name: stream.get_tensor(name).clone() for name in stream.keys()}  # noqa: SIM118 - not a dict
            return tensors, json.loads(stream.metadata()[HEADER])
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise InputError(f"cannot be read ({error})") from None
