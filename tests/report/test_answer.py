"""The answer against stores of which the truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from laimbench.errors import InputError
from laimbench.report import answer
from laimbench.report.costs import costs_section
from tests.report.synthetic import ladder, run


def test_a_known_speed_up_is_found():
    (one,) = answer(ladder(speed=1.25))
    assert one.speed.value == pytest.approx(1.25)
    assert one.speed.interval == pytest.approx((1.25, 1.25))
    assert set(one.speed_by_size) == {"d2-w32", "d2-w64", "d2-w128", "d2-w256"} and len(one.pairs) == 16


def test_the_interval_of_the_speed_up_comes_from_the_sizes():
    speeds = {32: 1.0, 64: 1.2, 128: 1.1, 256: 1.3}
    (one,) = answer(ladder(speed=speeds.get))
    logs = np.log(list(speeds.values()))
    assert one.speed.value == pytest.approx(np.exp(logs.mean()))
    half = 3.182446 * logs.std(ddof=1) / 2  # Student, 3 degrees of freedom
    assert one.speed.interval == pytest.approx((np.exp(logs.mean() - half), np.exp(logs.mean() + half)), rel=1e-5)


@pytest.mark.parametrize(("offset", "verdict"), [(0.0, "the same"), (0.2, "worse"), (-0.2, "better")])
def test_learning_is_judged_against_the_seed_spread(offset, verdict):
    (one,) = answer(ladder(offset=offset))
    assert one.verdict == verdict
    assert one.seed_spread == pytest.approx(np.sqrt(2) * 0.01)  # two seeds at ±0.01 around each loss
    assert one.difference.value == pytest.approx(offset)


def test_differences_as_wide_as_the_seed_spread_tell_nothing():
    noise = iter(np.random.default_rng(0).normal(0, 0.1, 100))
    (one,) = answer(ladder(offset=lambda width: next(noise)))
    assert one.verdict == "cannot tell" and "cannot be told" in one.sentence()


def test_one_seed_gives_no_verdict_and_says_why():
    (one,) = answer([r for r in ladder() if r.seed == 0])
    assert one.verdict == "cannot tell" and one.seed_spread is None
    assert any("one seed only" in note for note in one.notes)


def test_the_gain_is_what_the_law_says():
    (one,) = answer(ladder(speed=1.25, law=(1.5, 40.0, 0.12)))
    top = max(pair.ours.flops for pair in one.pairs)
    truth = 40.0 * (top**-0.12 - (top / 1.25) ** -0.12)
    assert one.gain.value == pytest.approx(truth, rel=0.02)
    low, high = one.gain.interval
    assert low <= one.gain.value <= high
    assert f"{-truth:.3f}"[:4] in one.gain_text() and "lower" in one.gain_text()


def test_a_speed_up_with_worse_learning_is_worth_nothing_said():
    (one,) = answer(ladder(speed=1.5, offset=0.2))
    assert one.gain is None and "end at a higher loss" in one.sentence()
    assert any("only where learning is the same" in note for note in one.notes)


def test_a_slower_laim_is_said_to_be_slower():
    (one,) = answer(ladder(speed=0.8))
    assert "0.80 times as fast" in one.sentence() and "higher" in one.gain_text()


def test_the_stock_side_is_the_fastest():
    runs = ladder(speed=1.2)
    compiled = [
        run(id=1000 + r.id, width=r.config["width"], tokens=r.tokens, seed=r.seed, backend="compile", train_s=r.train_s / 2,
            loss=r.final_val_loss)
        for r in runs if r.backend == "torch"
    ]  # fmt: skip
    (one,) = answer(runs + compiled)
    assert one.speed.value == pytest.approx(0.6)
    assert {pair.stock.backend for pair in one.pairs} == {"compile"}


def test_failed_and_unfinished_runs_count_nowhere_and_are_named():
    runs = ladder(speed=1.25)
    lost = [run(id=900, width=512, backend="laim", status="failed", loss=None, train_s=None),
            run(id=901, width=512, backend="torch", status="running", loss=3.0, train_s=1.0)]  # fmt: skip
    (one,) = answer(runs + lost)
    assert one.speed.value == pytest.approx(1.25) and one.failed == 1
    assert any("1 runs failed" in note for note in one.notes) and any("1 runs are not finished" in n for n in one.notes)


def test_runs_that_differ_in_more_than_the_backend_are_no_pair():
    (one,) = answer([run(id=1, backend="laim", seed=0), run(id=2, backend="torch", seed=1)])
    assert one.pairs == [] and one.speed is None and "no answer" in one.sentence()


def test_families_and_dtypes_are_answered_apart():
    half = [r for r in ladder(speed=1.5, dtype="bf16") if r.seed == 0]
    first, second = answer(half + ladder(speed=1.1))
    assert (first.dtype, second.dtype) == ("fp32", "bf16")  # the one with most pairs first
    assert first.speed.value == pytest.approx(1.1) and second.speed.value == pytest.approx(1.5)


def test_devices_are_answered_apart():
    on_gpu = [
        replace(r, config={**r.config, "device": "cuda"}, machine={**r.machine, "gpu": "NVIDIA H100"}, id=1000 + r.id)
        for r in ladder(speed=1.5)
    ]
    older = ladder(speed=1.1)  # which say no device
    first, second = answer([replace(r, config={**r.config, "device": ""}) if r.id % 2 else r for r in older] + on_gpu)
    assert (first.arithmetic, second.arithmetic) == ("fp32", "fp32-cuda") and len(first.pairs) == len(
        second.pairs
    ) == 16
    assert first.speed.value == pytest.approx(1.1) and second.speed.value == pytest.approx(1.5)
    assert "Test CPU" in first.sentence() and "On this machine (NVIDIA H100)" in second.sentence()
    assert (first.to_dict()["device"], second.to_dict()["device"]) == ("cpu", "cuda")
    assert "No estimate" in costs_section(second) and "No estimate" not in costs_section(first)


def test_an_empty_store_is_wrong_input():
    with pytest.raises(InputError, match="no runs"):
        answer([])
