"""Train a ladder by several processes on this machine: each runs ``sweep`` on the same store, and leases share out the groups.

Processes are forked from a server that has torch imported already, so that one that died is replaced within milliseconds. Those that
a group trains together share a process, so paired runs still take turns; but processes compete for the machine, and times are those of
a busy machine.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from multiprocessing import connection, forkserver, get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

from laimbench import provenance
from laimbench.errors import InputError, LaimbenchError, Terminated
from laimbench.ladder.job import GRACE_S, LOOK_S, Job, Patience, begun, outcome_of, work
from laimbench.ladder.plan import TRAINING_BYTES, USABLE_MEMORY, RunPlan
from laimbench.ladder.sweep import Outcome
from laimbench.store import Store

PROCESS_BYTES = 400 << 20  # of a process with torch, before it has a model


def workers_that_fit(plans: Iterable[RunPlan], workers: int) -> int:
    """Return how many processes, up to ``workers``, have memory for their groups even when the largest come together; at least 1."""
    groups: dict[tuple, int] = {}
    for plan in plans:
        pair = tuple(value for name, value in plan.config.to_dict().items() if name != "backend")
        groups[pair] = groups.get(pair, PROCESS_BYTES) + plan.params * TRAINING_BYTES
    largest, memory = sorted(groups.values(), reverse=True), provenance.memory_bytes() * USABLE_MEMORY
    fitting = [count for count in range(1, min(workers, len(largest)) + 1) if sum(largest[:count]) <= memory]
    return max(fitting, default=1)


def launch_local(job: Job, workers: int, *, look: Callable[[], None] = lambda: None) -> Outcome:
    """Run a ladder by this many processes, replacing those that die; return once nothing is left to do.

    ``look`` is called twice a second; what it raises (a note of SIGTERM, Ctrl-C) ends all processes, with their states kept.

    Raises:
        InputError: what the processes refused. RunError: they died again and again without getting anywhere, or the store cannot be
            written.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}, expected 1 or more")
    context = fork_server()
    with Store(job.store) as store:
        job = begun(job, store)
        alive: dict[BaseProcess, connection.Connection] = {}
        patience, left = Patience(store, workers), workers
        try:
            while left or alive:
                for _ in range(left):
                    ours, theirs = context.Pipe(duplex=False)
                    process = context.Process(target=_work, args=(job, theirs, os.getpid()))
                    process.start()
                    theirs.close()
                    alive[process] = ours
                left = 0
                connection.wait([process.sentinel for process in alive], LOOK_S)
                look()
                for process in [process for process in alive if not process.is_alive()]:
                    error = _last_word(alive.pop(process))
                    if error is not None:
                        raise error
                    if process.exitcode == 0:
                        continue  # nothing is left to do: others finish what they are at
                    patience.died(process.exitcode)
                    left += 1
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


def _work(job: Job, pipe: connection.Connection, launcher: int) -> None:
    """What a process does: the job; say what went wrong, if it is not a run's failure."""
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


def _end(alive: dict[BaseProcess, connection.Connection]) -> None:
    for process in alive:
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process, pipe in alive.items():
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
        pipe.close()
