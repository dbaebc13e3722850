"""The cores that this process may use: a batch system or a container often gives it fewer than the machine has."""

import os


def usable_cores() -> list[int]:
    """Return their numbers."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
