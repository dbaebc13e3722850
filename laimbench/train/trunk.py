"""One trunk for many token budgets. Up to where its decay begins, a warmup-stable-decay run does not depend on how long it will be: its state
there is the beginning of every longer run, bit for bit, and k budgets cost one trunk and k decays.

A run begins from the furthest state of its trunk that lies on its way, and leaves one where its own decay begins: from the least budget to the
largest, each goes on where the one before left the trunk. Source: Hu et al. 2024 (MiniCPM), section 4; Hägele et al. 2024
(arXiv:2405.18392).

States of a trunk are whole, also where several processes train: they are kept for other runs, by whichever processes.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError

from laimbench.errors import InputError
from laimbench.train.config import RunConfig
from laimbench.train.keeper import StateError
from laimbench.train.schedule import decay_start
from laimbench.train.state import changes, restore
from laimbench.train.stored import order_of, read_state, states, write_state
from laimbench.train.trainer import Trainer

FREE = ("tokens", "evals", "eval_tokens")  # in which runs of a trunk may differ


def trunk_key(config: RunConfig) -> str | None:
    """Return what names the trunk of a run; None where a run has none: its schedule, or its warm-up, depends on its length."""
    if config.schedule_name != "wsd" or not config.warmup_steps:
        return None
    values = {name: value for name, value in config.to_dict().items() if name not in FREE}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class Trunk:
    """The trunk of one run, in a folder that it shares with the other runs of ``trunk_key``."""

    def __init__(self, folder: Path, trainer: Trainer):
        self.folder, self.trainer, self.end = folder, trainer, decay_start(trainer.total_steps)

    def begin(self) -> None:
        """Put a fresh trainer into the furthest whole state that its run passes; without one it begins at its first step."""
        for path in reversed(states(self.folder)):
            if order_of(path)[1] > self.end:
                continue
            try:
                tensors, description = read_state(path)
                if changes(self.trainer, description):
                    continue  # from here on it would be another run's beginning
                restore(self.trainer, tensors, description, apart_from=FREE)
            except InputError:
                continue
            self.trainer.evaluations, self.trainer.segment_losses = [], []
            self.trainer.segment_started_s = self.trainer.train_seconds
            return

    def after_step(self) -> None:
        """Leave a state where the decay begins.

        Raises:
            StateError: it cannot be written.
        """
        if self.trainer.step != self.end or any(order_of(path)[1] == self.end for path in states(self.folder)):
            return
        try:
            write_state(self.folder, self.trainer)
        except (OSError, SafetensorError) as error:
            raise StateError(f"{self.folder}: the trunk at step {self.end} cannot be written ({error})") from None


def prune(folder: Path, waiting: Iterable[RunConfig]) -> None:
    """Remove the states that no run still waiting would begin from."""
    found = states(folder)
    ends = [decay_start(config.total_steps) for config in waiting]
    wanted = {max((path for path in found if order_of(path)[1] <= end), default=None, key=order_of) for end in ends}
    if not any(wanted):
        shutil.rmtree(folder, ignore_errors=True)
    for path in set(found) - wanted:
        path.unlink(missing_ok=True)


def spent_of(trainer: Trainer) -> dict[str, float]:
    """Return what a finished run says of its trunk: its first step of its own, and what was really spent; nothing of a run from scratch.

    Tokens, FLOPs and seconds of its evaluations are those of the whole run, as a law needs them.
    """
    first = trainer.evaluations[0]
    if first.step == 0:
        return {}
    return {
        "trunk_step": first.step,
        "spent_flops": (trainer.step - first.step) * trainer.flops_per_step,
        "spent_s": trainer.train_seconds - first.train_s,
    }
