"""A process that may use fewer cores than there are works with those."""

import os

import pytest

from laimbench.cli import main
from laimbench.cores import usable_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are given out on Linux only")
def test_cores_are_those_that_the_process_may_use(capsys):
    all_of_them = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {max(all_of_them)})
        assert usable_cores() == [max(all_of_them)]
        main(["doctor"])
    finally:
        os.sched_setaffinity(0, all_of_them)
    assert "1 of them for this process" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert usable_cores() == sorted(all_of_them)
