import math
import os

import pytest

from laimbench.track import speed
from laimbench.track.process import Side, relocate_code


class Machine:
    """Two workers on one machine that becomes slower by the block, and where a block is slower after one of the other side."""

    def __init__(self, seconds):
        self.seconds, self.blocks, self.last = seconds, 0, None
        self.prepared = []

    def worker(self, side, suite, threads):
        return Worker(self, side.label)


class Worker:
    def __init__(self, machine, label):
        self.machine, self.label = machine, label

    def __enter__(self):
        return self

    def __exit__(self, *_): ...
    def wait(self): ...
    def pin(self, core): ...
    def ask(self, do, **arguments):
        machine = self.machine
        if do == "prepare":
            machine.prepared.append(self.label)
            return {"calls": {"ours": 1}}
        machine.blocks += 1
        cold = machine.last != self.label
        machine.last = self.label
        return {"seconds": machine.seconds[self.label] * math.exp(1e-4 * machine.blocks) * (1.1 if cold else 1)}


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("ratio", [1.0, 1.05])
def test_neither_drift_nor_cold_caches_move_the_ratio(tmp_path, monkeypatch, ratio, number):
    machine = Machine({"A": 1.0, "B": ratio})
    monkeypatch.setattr(speed, "Process", machine.worker)
    timing = speed.Timing("op")
    speed._round((Side("A", tmp_path), Side("B", tmp_path)), tmp_path, [timing], 1, number)
    assert timing.log_ratios == [pytest.approx(math.log(ratio), abs=1e-4)]
    assert machine.prepared.count("A") == machine.prepared.count("B") == speed.PREPARATIONS
    assert machine.prepared[:4] in (["A", "B", "B", "A"], ["B", "A", "A", "B"])  # neither always first


def test_the_interquartile_mean_is_deaf_to_outliers():
    assert speed.interquartile_mean([1.0, 2.0, 3.0, 1e9]) == 2.5
    assert speed.interquartile_mean([7.0]) == 7.0


def test_compiled_code_alone_is_dropped_from_the_page_cache(tmp_path, monkeypatch):
    (tmp_path / "package").mkdir()
    for name in ("code.so", "text.py"):
        (tmp_path / "package" / name).write_bytes(b"bytes")
    dropped = []
    monkeypatch.setattr(os, "posix_fadvise", lambda file, *_: dropped.append(os.fstat(file).st_ino), raising=False)
    relocate_code(Side("A", tmp_path))
    assert dropped == [(tmp_path / "package" / "code.so").stat().st_ino]
