import numpy as np
import pytest

from laimbench.track.compare import worth
from laimbench.track.learning import Learning, Pair
from laimbench.track.multiplier import effective_multiplier

BUDGETS = np.geomspace(1e13, 1e15, 6)


def ladder(m, seeds, rng=None, noise=0.0, budgets=BUDGETS, e=1.7, b=0.12):
    """Both sides' final losses; a seed's luck is shared by the sides and each run has a tenth of it of its own."""
    rows = []
    for seed in range(seeds):
        for compute in budgets:
            luck = rng.normal(0, noise) if noise else 0.0
            for side in (0, 1):
                own = rng.normal(0, noise / 10) if noise else 0.0
                loss = e + 40 * ((m if side else 1.0) * compute) ** -b
                rows.append((compute, loss * np.exp(luck + own), side, seed))
    return np.array(rows).T


@pytest.mark.parametrize("m", [0.5, 1.0, 1.3, 2.0])
def test_without_noise_it_is_exact(m):
    found = effective_multiplier(*ladder(m, 3))
    assert found.value == pytest.approx(m, rel=1e-5)
    assert found.law == pytest.approx({"E": 1.7, "a": 40, "b": 0.12}, rel=1e-3)


def test_few_budgets_take_a_local_slope():
    found = effective_multiplier(*ladder(1.5, 3, budgets=BUDGETS[:3], e=0.0))
    assert found.value == pytest.approx(1.5, rel=1e-6)
    assert found.law["E"] == 0


@pytest.mark.parametrize("m", [0.5, 2.0])
def test_the_interval_covers(m):
    rng = np.random.default_rng(7)
    covered = [low <= m <= high for low, high in
               (effective_multiplier(*ladder(m, 6, rng, 0.01)).interval for _ in range(40))]  # fmt: skip
    assert 0.85 <= np.mean(covered) <= 1.0


def test_units_of_compute_do_not_matter():
    compute, loss, side, seed = ladder(1.4, 4, np.random.default_rng(0), 0.01)
    one, other = effective_multiplier(compute, loss, side, seed), effective_multiplier(compute / 1e12, loss, side, seed)
    assert one.value == pytest.approx(other.value, rel=1e-6)
    assert one.interval == pytest.approx(other.interval, rel=1e-4)


def test_two_seeds_have_no_interval():
    found = effective_multiplier(*ladder(1.4, 2))
    assert found.interval is None
    assert "fewer than three seeds" in found.text()


@pytest.mark.parametrize(
    ("column", "value", "message"), [(0, -1.0, "positive"), (1, np.nan, "positive"), (0, 1e13, "budget")]
)
def test_what_cannot_be_fitted_is_said(column, value, message):
    columns = ladder(1.0, 3)
    columns[column][:] = value
    with pytest.raises(ValueError, match=message):
        effective_multiplier(*columns)


def test_a_loss_that_does_not_fall_has_no_multiplier():
    compute, _, side, seed = ladder(1.0, 3)
    loss = 2.0 + 0.01 * np.random.default_rng(0).normal(size=len(compute))
    with pytest.raises(ValueError, match="does not fall"):
        effective_multiplier(compute, loss, side, seed)


def test_seconds_that_scatter_are_no_more_budgets_than_there_are_sizes():
    rng = np.random.default_rng(0)
    learning = Learning("gpt")
    for size, seed in ((size, seed) for size in (1, 2, 3) for seed in range(4)):
        points = tuple(
            [
                {
                    "flops": 1e9 * 8**size,
                    "loss": 6.0 * 0.8**size * (1 + 0.002 * seed),
                    "seconds": 8**size * rng.uniform(0.7, 1.4),
                }
            ]
            for _ in range(2)
        )
        learning.pairs.append(Pair(size, seed, points))
    found = worth(learning, "seconds")
    assert found.law["E"] == 0 and found.value == pytest.approx(1, rel=0.3)
