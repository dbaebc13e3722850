"""Whole plans: every kind of budget, what is far from the data, what has no answer."""

import json

import pytest

from laimbench.errors import InputError
from laimbench.laws.planning import budget
from laimbench.laws.planning.law import KnownLaw, parse_law
from laimbench.laws.planning.plan import Training, beyond_range, make_plan
from tests.laws.planning.planner import epoch, with_draws


def test_a_full_plan_holds_together():
    plan = make_plan(
        with_draws(), budget.of_wall_clock(86400, budget.accelerator("H100"), 0.4, devices=8),
        served_tokens=1e11, unique_tokens=1e10, training=Training(micro_batch=4, devices=8),
    )  # fmt: skip
    document = json.loads(json.dumps(plan.to_dict(), allow_nan=False))
    assert document["compute"] == pytest.approx(8 * 86400 * 989.4e12 * 0.4)
    assert document["data"]["best"]["params"] == document["allocation"]["params"]
    assert document["inference"]["params"]["value"] < document["allocation"]["params"]["value"]
    assert document["candidates"][0]["loss"]["value"] == pytest.approx(document["inference"]["loss"], rel=1e-9)
    totals = [c["total_flops"] for c in document["candidates"]]
    assert totals == sorted(totals)
    assert "fits H100" in document["fits"]
    assert document["memory"]["checkpointed"]["total"] < document["memory"]["kept"]["total"]


def test_the_loss_wanted_is_reached_by_the_plan_for_it():
    plan = make_plan(with_draws(), loss=2.4)
    assert plan.allocation.loss.value == pytest.approx(2.4, rel=1e-9)
    assert plan.required.compute.low < plan.compute == plan.required.compute.value < plan.required.compute.high


def test_a_loss_below_the_floor_is_an_answer_without_models():
    plan = make_plan(epoch(), loss=1.8)
    assert not plan.required.reachable and plan.allocation is None and plan.candidates == ()
    json.dumps(plan.to_dict(), allow_nan=False)


def test_few_data_raise_the_floor():
    """D' and N' have limits: a loss above E may be out of reach of these data."""
    plan = make_plan(epoch(), loss=2.0, unique_tokens=1e9)
    assert not plan.required.reachable and plan.required.floor.value > 2.0 > 1.8172
    assert make_plan(epoch(), loss=2.0, unique_tokens=1e12).required.reachable


def test_far_from_the_data_is_said():
    near = make_plan(with_draws(), budget.of_flops(1e20))
    assert near.beyond == {"params": 1.0, "tokens": 1.0} and not near.warnings
    far = make_plan(with_draws(), budget.of_flops(1e25))
    assert far.beyond["params"] > 10 and any("params" in w and "outside the data" in w for w in far.warnings)
    assert any("range of its data" in w for w in make_plan(epoch(), budget.of_flops(1e20)).warnings)
    assert any("no bootstrap draws" in w for w in make_plan(epoch(), budget.of_flops(1e20)).warnings)
    assert (beyond_range(5, 1, 10), beyond_range(30, 1, 10), beyond_range(0.1, 1, 10)) == (1, 3, 10)


def test_what_the_fit_could_not_say_is_passed_on():
    law = with_draws()
    law = KnownLaw(law.form, law.params, law.sample_params, ["E is not identified"], law.domain)
    assert "E is not identified" in make_plan(law, budget.of_flops(1e20)).warnings


def test_a_law_in_compute_alone_gives_its_loss():
    law = parse_law("E=1.5,a=100,b=0.1", "power")
    plan = make_plan(law, budget.of_flops(1e20))
    assert plan.loss.value == pytest.approx(2.5) and plan.candidates == () and any("split" in w for w in plan.warnings)
    assert make_plan(law, loss=2.5).compute == pytest.approx(1e20)


def test_exactly_one_of_budget_and_loss():
    for arguments in ({}, {"budget": budget.of_flops(1e20), "loss": 2.0}):
        with pytest.raises(InputError, match="exactly one"):
            make_plan(epoch(), **arguments)


def test_a_model_too_large_for_its_device_is_said():
    plan = make_plan(
        epoch(), budget.of_accelerator_hours(1e6, budget.accelerator("L40S")), training=Training(devices=1)
    )
    assert plan.fits.startswith("does not fit L40S")
