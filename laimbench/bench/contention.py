"""How much of the machine others used while we timed.

Interleaving cancels a machine that is slower for both sides. It does not cancel a core taken away: on a two-core machine with
one core taken, medians of unlike ops were seen at multiples of 8 ms, whichever side, so that the ratio is one of small whole
numbers with a deceptively narrow interval. So each row says how many cores others used.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

QUIET_CORES = 0.15  # below this, others are the system's own housekeeping
_STAT = Path("/proc/stat")


@dataclass(frozen=True)
class Usage:
    """Seconds at one moment: of the wall clock, of all cores busy (any process, steal included), of this process."""

    wall: float
    busy: float
    own: float


def usage(stat: Path = _STAT) -> Usage | None:
    """Return the usage now, None where the system does not tell (no ``/proc/stat``)."""
    try:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(
            int, stat.read_text().split("\n", 1)[0].split()[1:9]
        )
    except (OSError, ValueError):
        return None
    ticks = user + nice + system + irq + softirq + steal
    return Usage(time.perf_counter(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time())


def other_cores(before: Usage | None, after: Usage | None) -> float | None:
    """Return how many cores others kept busy on average between two moments, None where that is not known."""
    if before is None or after is None or after.wall <= before.wall:
        return None
    return max(0.0, (after.busy - before.busy - (after.own - before.own)) / (after.wall - before.wall))
