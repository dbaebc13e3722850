"""The cores that this process may use: a batch system or a container often gives it fewer than the machine has."""

import os


def usable_cores() -> list[int]:
    """Return their numbers."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def keep_on(core: int, process: int = 0) -> None:
    """Keep a process's main thread on one core, or (0) the calling thread and the processes that it starts (on Linux)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process, {core})
