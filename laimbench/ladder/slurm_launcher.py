"""Train a ladder by the tasks of a Slurm job array: each runs the ladder on the same store, which all nodes must reach.

Only sbatch, squeue and scancel are needed. Tasks that end before all runs have (out of memory, a lost node) are submitted again;
preemption and time limits send SIGTERM a minute before, in which the states of what is at work are kept.
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from laimbench.errors import InputError, RunError
from laimbench.ladder.job import LOOK_S, Job, Patience, begun, outcome_of, refusal, write_job
from laimbench.ladder.sweep import Outcome, unfinished
from laimbench.store import Store

ASK_S = 5.0  # between two questions to the controller, which has others to serve
SILENT_S = 600.0  # a controller that starts again; the tasks go on meanwhile
NOTICE_S = 60  # before the end of a task


def launch_slurm(
    job: Job, workers: int, folder: Path, options: Sequence[str] = (), *, look: Callable[[], None] = lambda: None
) -> Outcome:
    """Run a ladder by this many tasks; return once nothing is left to do.

    Args:
        folder: for the job's file and the tasks' output; on a file system that the nodes share.
        options: more options of sbatch, for example ``--partition=gpu``; they come last and win.
        look: called twice a second; what it raises cancels the tasks, with their states kept.

    Raises:
        InputError: what sbatch or the tasks refused. RunError: tasks died again and again without getting anywhere.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "job.json"
    submitted: list[str] = []
    with Store(job.store) as store:
        job = begun(job, store)
        write_job(job, file)
        patience, asked, answered = Patience(store, workers), -float("inf"), time.monotonic()
        try:
            while True:
                look()
                if time.monotonic() - asked < ASK_S:
                    time.sleep(LOOK_S)
                    continue
                asked = time.monotonic()
                try:
                    alive, answered = _tasks(submitted), asked
                except RunError:
                    if asked - answered > SILENT_S:
                        raise
                    continue
                if refused := refusal(file):
                    raise refused
                left = len(unfinished(job.ladder.runs, job.before, store.statuses()))
                if not left and not alive:
                    return outcome_of(job.ladder, job.before, store)
                missing = min(workers, left) - alive
                if missing > 0:
                    if submitted:
                        patience.died(f"its output in {folder}", missing)
                    submitted.append(_submit(file, folder, missing, job, options))
        finally:
            _cancel(submitted)


def _submit(file: Path, folder: Path, tasks: int, job: Job, options: Sequence[str]) -> str:
    """Submit an array; return its id. The batch script becomes Python, so that signals to the script reach it."""
    command = shlex.join([sys.executable, "-m", "laimbench.ladder.job", str(file.resolve())])
    script = folder / "job.sh"
    script.write_text(f"#!/bin/sh\nexec {command}\n", encoding="utf-8")
    said = _slurm("sbatch", "--parsable", f"--array=0-{tasks - 1}", f"--job-name=laimbench-{job.ladder.name}",
                  f"--cpus-per-task={job.threads}", *gpus_of(job), f"--signal=B:TERM@{NOTICE_S}", "--open-mode=append",
                  f"--output={folder.resolve()}/%A_%a.log", *options, str(script))  # fmt: skip
    return said.strip().split(";")[0]


def gpus_of(job: Job) -> list[str]:
    """Return what asks sbatch for a GPU where the ladder is trained on them: each task of the array is a job on one node."""
    return ["--gres=gpu:1"] if job.ladder.device == "cuda" else []


def _tasks(submitted: list[str]) -> int:
    """Return how many tasks of these arrays wait or run."""
    if not submitted:
        return 0
    return sum(array in submitted for array in _slurm("squeue", "--noheader", "--array", "--format=%F", "--me").split())


def _cancel(submitted: list[str]) -> None:
    if submitted:
        subprocess.run(["scancel", "--quiet", *submitted], check=False, capture_output=True)


def _slurm(*command: str) -> str:
    """Run a command of Slurm; return what it printed.

    Raises:
        InputError: there is no such command, or it refused.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError(f"{command[0]}: no such command, expected Slurm's on the PATH") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        error = InputError if command[0] == "sbatch" else RunError
        raise error(f"{command[0]} failed with code {done.returncode}: {said[-1] if said else 'nothing said'}")
    return done.stdout
