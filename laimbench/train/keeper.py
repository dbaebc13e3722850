"""Keep a run's state on disk while it trains, so that a kill at any moment costs little and changes nothing.

The last KEPT states stay (``laimbench.train.stored``); the newest whose content has the hashes in its names is gone on with. Under fsdp each
process writes and reads its own share (``laimbench.train.parts``).
"""

import shutil
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from laimbench.errors import InputError, Unfinished
from laimbench.train.parallel import Shards
from laimbench.train.parts import restore_from_slices, seen_by_all, shared, write_in_parts
from laimbench.train.state import changes, restore
from laimbench.train.stored import leftovers, order_of, read_state, states, write_state
from laimbench.train.trainer import Trainer

EVERY_S = 10.0  # of training between two states; at evaluations there may be more
MOST_OVERHEAD = 0.05  # of the time in training steps that writing may take, before EVERY_S and evaluations
ASSUMED_BYTES_PER_S, ASSUMED_S = 200e6, 0.02  # the cost of the first state, before one was measured
KEPT = 2


class StateError(Unfinished):
    """A state that could not be written; the ones before are kept."""


class Keeper:
    """Keep the state of one run in a folder of its own.

    Args:
        every_s: seconds of training between two states; 0 writes one after every step, whatever it costs.
        token: of the claim under which this process trains.
        allowed: called before each writing but the last; what it raises keeps the state from being written.
        note: called with a line for the user.
    """

    def __init__(
        self,
        folder: Path,
        trainer: Trainer,
        *,
        every_s: float = EVERY_S,
        token: int = 0,
        allowed: Callable[[], None] = lambda: None,
        note: Callable[[str], None] = lambda line: None,
    ):
        self.folder, self.trainer, self.every_s, self.token = folder, trainer, every_s, token
        self.allowed, self.note = allowed, note
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
                description = self._restore(path)
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

    @cached_property
    def _in_parts(self) -> bool:
        """Whether each process writes its shards: under fsdp, where all see the folder."""
        processes = self.trainer.processes
        if not isinstance(processes, Shards):
            return False
        if not (seen := shared(self.folder, processes)):
            self.note(f"{self.folder}: not seen by all processes; the first one gathers whole states, in its memory")
        return seen

    def _write(self) -> None:
        try:
            if self._in_parts:
                write_in_parts(self.folder, self.trainer, self.token)
            else:
                write_state(self.folder, self.trainer, self.token)
            for old in [path for path in states(self.folder) if order_of(path)[0] <= self.token][:-KEPT]:
                old.unlink(missing_ok=True)
        finally:  # also of a state that one process could not write its part of: the others wrote theirs
            self._remove_leftovers()

    def _restore(self, path: Path) -> dict[str, Any]:
        """Put the trainer into a state; return its description."""
        processes = self.trainer.processes
        if isinstance(processes, Shards) and seen_by_all(path, processes):
            return restore_from_slices(path, self.trainer)
        tensors, description = read_state(path)
        restore(self.trainer, tensors, description)
        return description

    def _remove_leftovers(self) -> None:
        for part in leftovers(self.folder, self.token):
            part.unlink(missing_ok=True)

    def _remove_unfinished(self) -> None:
        # Our own, and those that safetensors writes to before it renames them to ours.
        for path in self.folder.glob(".*"):
            path.unlink(missing_ok=True)
        self._remove_leftovers()
