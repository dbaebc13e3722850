"""Train a ladder by tasks of Ray: on a cluster that is there already (RAY_ADDRESS), else on one that is started on this machine.

Ray places the tasks and starts those again whose worker died; leases share out the runs, as under the other launchers.
"""

import os
import signal
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

from laimbench.errors import InputError, LaimbenchError, RunError
from laimbench.ladder.job import GRACE_S, LOOK_S, Job, begun, outcome_of, work
from laimbench.ladder.sweep import Outcome
from laimbench.store import Store
from laimbench.store.leases import MOST_DEATHS


def launch_ray(job: Job, workers: int | None = None, *, look: Callable[[], None] = lambda: None) -> Outcome:
    """Run a ladder by this many tasks, by default as many as the cluster has cores for, or GPUs where the
    ladder is trained on them; return once nothing is left to do.

    ``look`` is called twice a second; what it raises ends the tasks, with their states kept.

    Raises:
        InputError: Ray is not installed, there are no GPUs for a ladder on them, or what the tasks refused. RunError: a task could not be kept alive.
    """
    try:
        import ray
    except ImportError:
        raise InputError("--launcher ray needs Ray: pip install 'laimbench[ray]'") from None
    ours = not ray.is_initialized()
    if ours:
        start_ray()
    try:
        needs = needs_of(job)
        fitting = tasks_that_fit(needs, ray.cluster_resources())
        # A run on which processes die is given up by its lease, so this many deaths are enough for all of them.
        task = ray.remote(**needs, max_retries=len(job.ladder.runs) * MOST_DEATHS)(_work)
        with Store(job.store) as store:
            job = begun(job, store)
            pending = [task.remote(job, str(Path.cwd())) for _ in range(workers or fitting)]
            try:
                while pending:
                    ended, pending = ray.wait(pending, timeout=LOOK_S)
                    for reference in ended:
                        ray.get(reference)
                    look()
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, LaimbenchError):
                    raise error.cause from None
                raise RunError(f"a task of Ray failed: {str(error).strip().splitlines()[-1]}") from None
            except ray.exceptions.RayError as error:
                raise RunError(f"Ray: {str(error).strip().splitlines()[0]}") from None
            finally:
                for reference in pending:
                    ray.cancel(reference)
                if pending:
                    ray.wait(pending, num_returns=len(pending), timeout=GRACE_S)
            return outcome_of(job.ladder, job.before, store)
    finally:
        if ours:
            ray.shutdown()


def needs_of(job: Job) -> dict[str, int]:
    """Return what Ray sets aside for a task; of the GPUs, a task sees those only."""
    return {"num_cpus": job.threads, **({"num_gpus": 1} if job.ladder.device == "cuda" else {})}


def tasks_that_fit(needs: dict[str, int], resources: dict[str, float]) -> int:
    """Return how many tasks a cluster has GPUs for where they need some, else cores; at least 1.

    Raises:
        InputError: it has no GPU, so that they would wait for ever.
    """
    if "num_gpus" not in needs:
        return max(1, int(resources.get("CPU", 1)) // needs["num_cpus"])
    if resources.get("GPU", 0) < needs["num_gpus"]:
        raise InputError("device is 'cuda', but Ray's cluster has no GPU; use one that has, or device cpu")
    return int(resources["GPU"]) // needs["num_gpus"]


def start_ray(**options: Any) -> None:
    """Connect to the cluster of RAY_ADDRESS, or start one on this machine, with ``ray.init``'s options."""
    import ray

    terminated = signal.getsignal(signal.SIGTERM)
    # Ray has its workers look for modules in the folder in which it is started: there may be sources of laimbench that are not built.
    with chdir(os.sep):
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="error", **options)
    signal.signal(signal.SIGTERM, terminated)  # Ray's own would end this process at once


def _work(job: Job, folder: str) -> None:
    if Path(folder).is_dir():  # to which paths of data are relative
        os.chdir(folder)
    # Ray cancels a task by SIGINT, and ends a worker by SIGTERM.
    work(job, (signal.SIGINT, signal.SIGTERM))
