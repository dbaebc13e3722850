import gc

import numpy as np
import pytest

from laimbench.bench.timing import compare, interleave, median_interval


class FakeMachine:
    """A clock that only the sides' own work moves; the machine slows down to ``slow`` after ``calm`` seconds."""

    def __init__(self, calm=float("inf"), slow=1.0):
        self.now, self.calm, self.slow, self.log = 0.0, calm, slow, []

    def clock(self):
        return self.now

    def side(self, name, seconds):
        def work():
            assert not self.log or self.now > 0
            self.log.append((name, gc.isenabled()))
            self.now += seconds * (self.slow if self.now > self.calm else 1.0)

        return work


def test_seconds_per_call_are_the_sides_own():
    machine = FakeMachine()
    seconds = interleave(
        {"a": machine.side("a", 0.002), "b": machine.side("b", 0.05)}, budget_s=1.0, clock=machine.clock
    )
    assert list(seconds) == ["a", "b"]
    assert len(seconds["a"]) == len(seconds["b"]) >= 9
    assert np.allclose(seconds["a"], 0.002) and np.allclose(seconds["b"], 0.05)


def test_a_sample_repeats_a_short_call_until_it_lasts_milliseconds():
    machine = FakeMachine()
    interleave({"short": machine.side("short", 0.001)}, budget_s=0.0, least=2, clock=machine.clock)
    assert len(machine.log) == 3 + 2 * 5  # three to warm up and calibrate, then two samples of 5 ms


def test_every_side_goes_first_equally_often():
    for names in ("ab", "abc"):
        machine = FakeMachine()
        sides = {name: machine.side(name, 0.01) for name in names}
        interleave(sides, budget_s=0.0, least=2 * len(names), clock=machine.clock)
        measured = [name for name, _ in machine.log[3 * len(names) :]]
        firsts = measured[:: len(names)]
        assert {name: firsts.count(name) for name in names} == dict.fromkeys(names, 2)


def test_the_garbage_collector_rests_while_timing_and_comes_back():
    machine = FakeMachine()

    def fails():
        if len(machine.log) > 20:
            raise RuntimeError("side failed")

    assert gc.isenabled()
    interleave({"a": machine.side("a", 0.01)}, budget_s=0.0, clock=machine.clock)
    assert gc.isenabled()
    assert not any(enabled for _, enabled in machine.log[3:])
    with pytest.raises(RuntimeError, match="side failed"):
        interleave({"a": machine.side("a", 0.01), "b": fails}, budget_s=9.0, clock=machine.clock)
    assert gc.isenabled()


def test_a_machine_that_slows_down_changes_seconds_but_not_the_ratio():
    machine = FakeMachine(calm=0.5, slow=3.0)
    seconds = interleave(
        {"a": machine.side("a", 0.01), "b": machine.side("b", 0.02)}, budget_s=2.0, clock=machine.clock
    )
    assert max(seconds["a"]) == pytest.approx(0.03)
    comparison = compare(seconds, "a")
    assert comparison.best == "b"
    assert comparison.speedup == pytest.approx(2.0)
    assert comparison.speedup_interval == pytest.approx((2.0, 2.0))


def test_the_comparison_is_with_the_best_of_the_others():
    comparison = compare({"laim": [2.0] * 9, "torch": [3.0] * 9, "compile": [1.0] * 9}, "laim")
    assert (comparison.best, comparison.speedup) == ("compile", 0.5)


def test_the_interval_of_the_median_holds_what_it_promises():
    random = np.random.default_rng(0)
    # For n = 9 the order statistics 2 and 8 are the narrowest pair that covers at least 95 %: 1 - 2 (1 + 9) / 512.
    assert median_interval(np.arange(1.0, 10.0)) == (2.0, 8.0)
    trials = 4000
    held = sum(low <= 0 <= high for low, high in (median_interval(random.standard_cauchy(25)) for _ in range(trials)))
    assert 0.945 <= held / trials <= 0.99
