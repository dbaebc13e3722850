"""Name a process so that others on the same machine can tell whether it lives: a process id alone may be another's by now."""

import os
import platform
import uuid
from pathlib import Path

SEPARATOR = "|"


def own_name() -> str:
    """Return a name that no other owner has: where the process runs, its id, when it started, and something random."""
    return SEPARATOR.join((_place(), str(os.getpid()), started_at(os.getpid()), uuid.uuid4().hex))


def is_gone(owner: str) -> bool:
    """Say whether an owner is known to be dead; of another machine's, or another container's, that cannot be known."""
    place, pid, started, _ = owner.split(SEPARATOR)
    return bool(started) and place == _place() and started_at(int(pid)) != started


def _place() -> str:
    """Return what process ids are relative to: machine, boot and namespace; '' where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def started_at(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; '' without such a process (or one that only waits to be collected)."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else rest[18]
    except OSError:
        return ""
