"""Budgets: exact conversions, and what is wrong with one."""

import pytest

from laimbench.errors import InputError
from laimbench.laws.planning import budget


def test_conversions_are_exact():
    h100 = budget.accelerator("h100")
    assert budget.of_flops(1e21).flops == 1e21
    assert budget.of_accelerator_hours(500, h100, 0.4).flops == pytest.approx(500 * 3600 * 989.4e12 * 0.4, rel=1e-15)
    assert budget.of_money(2000, 2.5, h100, 0.4).flops == pytest.approx(800 * 3600 * 989.4e12 * 0.4, rel=1e-15)
    day = budget.of_wall_clock(86400, h100, 0.4, devices=8)
    assert day.flops == pytest.approx(8 * 86400 * 989.4e12 * 0.4, rel=1e-15)
    assert day.hours(day.flops) == pytest.approx(24, rel=1e-15)
    assert budget.of_flops(1e21).hours(1e21) is None


def test_steps_say_how_it_came_about():
    steps = budget.of_money(2000, 2.5, budget.accelerator("A100"), 0.5).steps
    assert "2000 / 2.5 per hour = 800 A100-hours" in steps[0]
    assert "800 A100-hours x 3600 s x 3.12e+14 FLOP/s x utilisation 0.5 = 4.493e+20 FLOPs" in steps[1]


def test_any_machine_by_its_measured_peak():
    cpu = budget.accelerator("cpu", 1.2e11)
    assert budget.of_wall_clock(3600, cpu, 1.0).flops == pytest.approx(3600 * 1.2e11)
    assert budget.accelerator("H100", 494.7e12).peak_flops == 494.7e12
    with pytest.raises(InputError, match="measured peak"):
        budget.accelerator("cpu")


def test_dense_peaks_not_sparse_ones():
    """The vendors' headline figures with 2:4 sparsity are twice these."""
    peaks = {a.name: a.peak_flops for a in budget.ACCELERATORS.values()}
    assert peaks == {
        "A100": 312e12,
        "H100": 989.4e12,
        "H200": 989.4e12,
        "B200": 2250e12,
        "L40S": 362.05e12,
        "MI300X": 1307.4e12,
    }


@pytest.mark.parametrize(
    ("call", "word"),
    [(lambda g: budget.of_flops(-1), "FLOPs"), (lambda g: budget.of_flops(float("inf")), "FLOPs"),
     (lambda g: budget.of_accelerator_hours(1, g, 0), "utilisation"), (lambda g: budget.of_accelerator_hours(1, g, 1.2), "utilisation"),
     (lambda g: budget.of_wall_clock(1, g, 0.4, 0), "devices|hours"), (lambda g: budget.of_money(1, 0, g), "price"),
     (lambda g: budget.accelerator("cpu", 0.0), "peak")],
)  # fmt: skip
def test_wrong_budgets_are_named(call, word):
    with pytest.raises(InputError, match=word):
        call(budget.accelerator("H100"))
