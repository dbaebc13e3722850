"""What every process of a launcher is told and does: sweep one ladder into one store, where leases share out the groups.

``python -m laimbench.ladder.job FILE`` does a job that was written to a file; that is how processes on other machines get theirs.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from laimbench.errors import InputError, LaimbenchError, RunError
from laimbench.files import read_json, write_atomically
from laimbench.ladder.config import Ladder
from laimbench.ladder.interrupt import Interrupt
from laimbench.ladder.plan import run_key
from laimbench.ladder.sweep import Listener, Outcome, Statuses, label, sweep
from laimbench.store import Store
from laimbench.store.leases import MOST_DEATHS, leases_of
from laimbench.store_address import StoreAddress
from laimbench.train import RunConfig, Trainer
from laimbench.train.keeper import EVERY_S

LOOK_S = 0.5  # between two looks of a launcher
GRACE_S = 60.0  # for processes to keep their states, before a launcher goes on without them


@dataclass(frozen=True)
class Job:
    """What every process is told. threads: of torch, in each. before: the statuses when the launcher began; what has failed since, a process
    that comes later (for one that died) does not train again.
    """

    ladder: Ladder
    store: StoreAddress | Path
    threads: int
    trainer: Callable[[RunConfig], Trainer] = Trainer
    checkpoints: Path | None = None
    save_every_s: float = EVERY_S
    before: Statuses | None = None


def work(job: Job, signals: tuple[int, ...] = (signal.SIGTERM,), check: Callable[[], None] = lambda: None) -> None:
    """Sweep until nothing is left to do. ``check`` is called before every group and after every step; what it raises, and the signals, end
    the sweep there with its states kept.
    """
    import torch

    torch.set_num_threads(job.threads)

    class Stop(Listener):
        def stepped(self) -> None:
            interrupt.check()
            check()

        def note(self, message: str) -> None:
            print(f"note: {message}", file=sys.stderr, flush=True)

    with Interrupt(signals) as interrupt, Store(job.store) as store:
        sweep(job.ladder, store, listener=Stop(), trainer=job.trainer, checkpoints=job.checkpoints,
              save_every_s=job.save_every_s, before=job.before)  # fmt: skip


class Patience:
    """Bears with processes that die as long as anything gets done."""

    def __init__(self, store: Store, workers: int):
        self._store, self._most = store, (workers + 1) * MOST_DEATHS
        self._progress, self._in_vain = self._measure(), 0

    def died(self, how: object, processes: int = 1) -> None:
        """Note that processes died.

        Raises:
            RunError: many have, one after the other, and nothing got any further.
        """
        now = self._measure()
        self._in_vain = 0 if now != self._progress else self._in_vain + processes
        self._progress = now
        if self._in_vain > self._most:
            raise RunError(f"{self._in_vain} processes died one after the other, the last with {how}")

    def _measure(self) -> tuple[int, int]:
        """Return what grows as long as anything gets done: runs ended, and the steps that those at work are on record with."""
        ended = sum(status != "running" for status, _ in self._store.statuses().values())
        return ended, sum(lease.reached for lease in leases_of(self._store).values())


def begun(job: Job, store: Store) -> Job:
    """Return the job with the statuses that its runs have now."""
    keys = {run_key(config) for config in job.ladder.runs}
    return replace(job, before={key: status for key, status in store.statuses().items() if key in keys})


def outcome_of(ladder: Ladder, before: Statuses, store: Store) -> Outcome:
    """Return what has become of a ladder's runs since ``before``."""
    outcome = Outcome()
    for config in ladder.runs:
        run = store.find(run_key(config))
        if run is None:  # its processes read other contents, and trained those runs
            outcome.failures.append(f"{label(config)}: data {config.data!r} changed since the sweep began")
        elif before.get(run.key, ("", ""))[0] == "done":
            outcome.skipped += 1
        elif run.status == "done":
            outcome.trained += 1
        else:
            outcome.failures.append(f"{label(config)}: {run.error}")
    return outcome


def write_job(job: Job, path: Path) -> None:
    """Write a job to a file, for processes that share the file system (its trainer is the ordinary one). Nothing of it is refused yet."""
    _refused(path).unlink(missing_ok=True)
    store = StoreAddress.of(job.store).resolve()
    groups = [[config.to_dict() for config in group] for group in job.ladder.groups]
    document = {"name": job.ladder.name, "groups": groups, "store": store.text, "folder": str(store.folder or ""), "threads": job.threads,
                "checkpoints": str(job.checkpoints.resolve()) if job.checkpoints else "",
                "save_every_s": job.save_every_s, "before": job.before and dict(job.before)}  # fmt: skip
    write_atomically(path, json.dumps(document), mode=0o600)  # there may be a password in the store's URL


def read_job(path: Path) -> Job:
    """Return the job that a file holds.

    Raises:
        InputError: the file is missing or is no job; the message names it.
    """
    document = read_json(path, "a job of laimbench")
    try:
        groups = tuple(tuple(RunConfig.from_dict(values) for values in group) for group in document["groups"])
        store = StoreAddress(document["store"], Path(document["folder"]) if document["folder"] else None)
        return Job(Ladder(document["name"], groups), store, document["threads"],
                   checkpoints=Path(document["checkpoints"]) if document["checkpoints"] else None,
                   save_every_s=document["save_every_s"],
                   before=document["before"] and {key: tuple(status) for key, status in document["before"].items()})  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a job of laimbench ({error})") from None


def _refused(path: Path) -> Path:
    """Return where a process notes what it refused of the job in a file, for the launcher."""
    return path.with_name(f"{path.name}.refused")


def refusal(path: Path) -> InputError | None:
    """Return what a process refused of the job in this file, if one did."""
    noted = _refused(path)
    return InputError(noted.read_text(encoding="utf-8")) if noted.is_file() else None


def main(path: Path) -> int:
    """Do the job in a file; return the exit code. A scheduler's SIGTERM keeps the states of what is at work."""
    try:
        job = read_job(path)
        given = os.environ.get("SLURM_CPUS_PER_TASK", "")
        work(replace(job, threads=int(given)) if given.isdigit() else job)
    except LaimbenchError as error:
        if isinstance(error, InputError):
            write_atomically(_refused(path), str(error))
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
