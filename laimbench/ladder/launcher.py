"""Train a ladder by several processes on this machine: each runs ``sweep`` on the same store, and leases share out the groups.

Processes are forked from a server that has torch imported already, so that one that died is replaced within milliseconds. Those that
a group trains together share a process, so paired runs still take turns; but processes compete for the machine, and times are those of
a busy machine. On GPUs each process has one of its own, as long as there are no more processes than GPUs.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import connection, forkserver, get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

from laimbench.errors import InputError, LaimbenchError, Terminated
from laimbench.ladder.job import GRACE_S, LOOK_S, Job, Patience, begun, outcome_of, work
from laimbench.ladder.plan import TRAINING_BYTES, USABLE_MEMORY, RunPlan
from laimbench.ladder.sweep import Outcome
from laimbench.store import Store
from laimbench.train.device import VISIBLE

PROCESS_BYTES = 400 << 20  # of a process with torch, before it has a model; about what its CUDA context takes of a GPU


def workers_that_fit(plans: Iterable[RunPlan], workers: int, memories: Sequence[int]) -> int:
    """Return how many processes, up to ``workers``, have memory for their groups even when the largest come together; at least 1.

    Args:
        memories: bytes of each of the places, GPUs or the machine as a whole, that processes are dealt out to in turns.
    """
    groups: dict[tuple, int] = {}
    for plan in plans:
        pair = tuple(value for name, value in plan.config.to_dict().items() if name != "backend")
        groups[pair] = groups.get(pair, PROCESS_BYTES) + plan.params * TRAINING_BYTES
    largest, memory = sorted(groups.values(), reverse=True), min(memories) * USABLE_MEMORY
    together = {count: -(-count // len(memories)) for count in range(1, min(workers, len(largest)) + 1)}  # in one place
    return max((count for count in together if sum(largest[: together[count]]) <= memory), default=1)


def launch_local(
    job: Job, workers: int, *, gpus: Sequence[str] = (), look: Callable[[], None] = lambda: None
) -> Outcome:
    """Run a ladder by this many processes, replacing those that die; return once nothing is left to do.

    Args:
        gpus: by their names in CUDA_VISIBLE_DEVICES; dealt out in turns, so that each process sees one.
        look: called twice a second; what it raises (a note of SIGTERM, Ctrl-C) ends all processes, with their states kept.

    Raises:
        InputError: what the processes refused. RunError: they died again and again without getting anywhere, or the store cannot be
            written.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}, expected 1 or more")
    context = fork_server()
    with Store(job.store) as store:
        job = begun(job, store)
        alive: dict[BaseProcess, tuple[int, connection.Connection]] = {}
        patience, missing = Patience(store, workers), list(range(workers))  # by their numbers
        try:
            while missing or alive:
                for number in missing:
                    ours, theirs = context.Pipe(duplex=False)
                    environment = environment_of(number, gpus)
                    process = context.Process(target=_work, args=(job, theirs, os.getpid(), environment))
                    process.start()
                    theirs.close()
                    alive[process] = number, ours
                missing = []
                connection.wait([process.sentinel for process in alive], LOOK_S)
                look()
                for process in [process for process in alive if not process.is_alive()]:
                    number, pipe = alive.pop(process)
                    error = _last_word(pipe)
                    if error is not None:
                        raise error
                    if process.exitcode == 0:
                        continue  # nothing is left to do: others finish what they are at
                    patience.died(process.exitcode)
                    missing.append(number)
        finally:
            _end(alive)
        return outcome_of(job.ladder, job.before, store)


def fork_server() -> ForkServerContext:
    """Return a context whose processes are forked from one that has torch and laimbench imported already.

    The server is Python with -c, which looks for modules in the working folder first: there may be sources of laimbench that are not
    built. PYTHONSAFEPATH keeps it to what its parent sees.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["laimbench.ladder"])
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before
    return context


def environment_of(number: int, gpus: Sequence[str]) -> dict[str, str]:
    """Return what a process finds in its environment beside what all do."""
    return {VISIBLE: gpus[number % len(gpus)]} if gpus else {}


def _work(job: Job, pipe: connection.Connection, launcher: int, environment: dict[str, str]) -> None:
    """What a process does: the job; say what went wrong, if it is not a run's failure."""
    os.environ.update(environment)  # CUDA, which reads it once, was not touched in the server that this is forked from
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher gets it too, and passes it on
    server = os.getppid()

    def check() -> None:
        if os.getppid() != server:
            raise Terminated(f"the process {launcher} that started this one is gone")

    try:
        work(job, check=check)
    except Terminated as error:
        raise SystemExit(error.exit_code) from None
    except LaimbenchError as error:
        pipe.send(error)
        raise SystemExit(error.exit_code) from None


def _last_word(pipe: connection.Connection) -> LaimbenchError | None:
    with pipe:
        try:
            return pipe.recv() if pipe.poll() else None
        except EOFError:
            return None


def _end(alive: dict[BaseProcess, tuple[int, connection.Connection]]) -> None:
    for process in alive:
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process, (_, pipe) in alive.items():
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
        pipe.close()
