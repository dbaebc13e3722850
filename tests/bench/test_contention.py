import os

import pytest

from laimbench.bench.contention import QUIET_CORES, Usage, other_cores, usage


def test_others_are_what_is_busy_and_not_ours():
    before, after = Usage(wall=10.0, busy=100.0, own=5.0), Usage(wall=12.0, busy=104.0, own=7.0)
    assert other_cores(before, after) == pytest.approx(1.0)
    assert other_cores(before, Usage(12.0, 101.9, 7.0)) == 0.0  # ticks are coarse: never below zero


def test_not_known_where_the_system_does_not_tell(tmp_path):
    assert usage(tmp_path / "missing") is None
    (tmp_path / "odd").write_text("cpu a b\n")
    assert usage(tmp_path / "odd") is None
    assert other_cores(None, Usage(1.0, 1.0, 1.0)) is None


def test_busy_leaves_out_idle_and_waiting(tmp_path):
    path = tmp_path / "stat"
    path.write_text("cpu  100 10 20 99999 88888 1 2 7 50 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    assert usage(path).busy * os.sysconf("SC_CLK_TCK") == pytest.approx(140)
    assert 0 < QUIET_CORES < 1
