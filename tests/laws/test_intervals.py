"""Intervals: BCa against its definition and known cases, what the bootstrap draws, what the jackknife leaves out."""

import numpy as np
import pytest
from scipy import stats

from laimbench import laws
from laimbench.errors import InputError
from laimbench.laws import intervals
from laimbench.laws.intervals import Resampling, bca_interval, independent_units, jackknife, resample
from laimbench.laws.losses import Squared
from laimbench.laws.solver import Problem


def slow_bca(estimate, samples, left_out, level=0.95):
    """Efron 1987, equations 2.3 and 6.6, one number at a time, ties counted half; the interval holds the estimate."""
    count = len(samples)
    below = sum(1.0 if s < estimate else 0.5 if s == estimate else 0.0 for s in samples) / count
    bias = stats.norm.ppf(min(max(below, 1 / (count + 1)), count / (count + 1)))
    pull = [np.mean(left_out) - value for value in left_out]
    cubes, squares = sum(p**3 for p in pull), sum(p**2 for p in pull)
    acceleration = cubes / (6 * squares**1.5) if squares > 0 else 0.0
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        z = stats.norm.ppf(tail)
        share = stats.norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        place = min(max(share * (count + 1), 1), count)  # the place-th of the samples in order, straight between two
        ordered = sorted(samples)
        low = int(place)
        high = min(low + 1, count)
        ends.append(ordered[low - 1] + (place - low) * (ordered[high - 1] - ordered[low - 1]))
        if abs(bias) > 0.5:  # no small correction: percentiles as well
            place = min(max(tail * (count + 1), 1), count)
            low = int(place)
            ends[-1:] = [ends[-1], ordered[low - 1] + (place - low) * (ordered[min(low, count - 1)] - ordered[low - 1])]
    return min(*ends, estimate), max(*ends, estimate)


def means(data, count, seed=0):
    rng = np.random.default_rng(seed)
    samples = data[rng.integers(0, len(data), (count, len(data)))].mean(1)
    return data.mean(), samples, (data.sum() - data) / (len(data) - 1)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("shape", ["normal", "skewed", "ties", "tiny", "huge"])
def test_bca_is_what_its_definition_says(shape, level):
    rng = np.random.default_rng(1)
    data = {
        "normal": rng.normal(size=20), "skewed": rng.exponential(size=25) ** 2, "ties": rng.integers(0, 2, 9).astype(float),
        "tiny": 1e-120 * rng.exponential(size=15), "huge": 1e100 * rng.exponential(size=15),
    }[shape]  # fmt: skip
    estimate, samples, left_out = means(data, 333)
    unit = np.abs(data).max()
    expected = np.array(slow_bca(estimate / unit, samples / unit, left_out / unit, level)) * unit
    np.testing.assert_allclose(bca_interval(estimate, samples, left_out, level), expected, rtol=1e-9)


def test_many_quantities_are_as_one_at_a_time():
    rng = np.random.default_rng(2)
    estimate, samples, left_out = (
        1.5 * rng.normal(size=(2, 3)),
        rng.normal(size=(99, 2, 3)),
        rng.normal(size=(12, 2, 3)),
    )
    lower, upper = bca_interval(estimate, samples, left_out)
    assert lower.shape == (2, 3)
    for i in np.ndindex(2, 3):
        expected = slow_bca(estimate[i], samples[(slice(None), *i)], left_out[(slice(None), *i)])
        np.testing.assert_allclose((lower[i], upper[i]), expected, rtol=1e-9)


def test_the_interval_of_a_normal_mean_is_nearly_students():
    data = np.random.default_rng(3).normal(5, 2, 200)
    lower, upper = bca_interval(*means(data, 20_000))
    half = stats.t.ppf(0.975, 199) * data.std(ddof=1) / np.sqrt(200)
    assert (lower, upper) == pytest.approx((data.mean() - half, data.mean() + half), abs=0.04 * half)


@pytest.mark.parametrize("transform", [np.exp, lambda x: x**3, lambda x: 7 - 2 * x], ids=["exp", "cube", "falling"])
def test_a_monotone_map_of_the_quantity_maps_the_interval(transform):
    """Exactly, where the jackknife's skewness is the same; the map's own effect on it is of second order."""
    estimate, samples, left_out = means(np.random.default_rng(4).exponential(size=60), 399)
    ends = np.sort(transform(np.array(bca_interval(estimate, samples, left_out))))
    mapped = np.array(bca_interval(transform(estimate), transform(samples), transform(left_out)))
    assert mapped == pytest.approx(ends, rel=0.02)
    straight = np.array(bca_interval(transform(estimate), transform(samples), np.zeros(60)))
    plain = np.array(bca_interval(estimate, samples, np.zeros(60)))  # no skewness: ranks alone, but between two samples
    assert straight == pytest.approx(np.sort(transform(plain)), rel=1e-3)


def test_the_interval_holds_the_estimate_and_bears_infinities():
    samples = np.linspace(1.0, 2.0, 99)
    lower, upper = bca_interval(0.5, samples, np.zeros(3))
    assert lower == 0.5 and upper >= 1.0
    infinite = np.where(np.arange(99) < 20, np.inf, samples)
    lower, upper = bca_interval(1.5, infinite, np.array([1.4, 1.6, np.inf]))
    assert lower < 1.5 and upper == np.inf
    assert bca_interval(np.inf, np.full(9, np.inf), np.full(9, np.inf)) == (np.inf, np.inf)
    np.testing.assert_array_equal(bca_interval(2.0, np.full(9, 2.0), np.full(4, 2.0)), (2.0, 2.0))


@pytest.mark.parametrize("level", [0, 1, -0.1, 95, np.nan])
def test_impossible_levels_are_named(level):
    with pytest.raises(InputError, match="expected a number between 0 and 1"):
        bca_interval(1.0, np.arange(9.0), np.arange(9.0), level)


def test_impossible_resampling_is_named():
    with pytest.raises(InputError, match="expected one of rows, clusters, parametric"):
        Resampling("jackknife")
    with pytest.raises(InputError, match="bootstrap is -1"):
        Resampling(samples=-1)
    with pytest.raises(InputError, match="no bootstrap samples"):
        bca_interval(1.0, np.empty(0), np.zeros(3))


@pytest.fixture
def problem():
    rng = np.random.default_rng(6)
    log_x = np.log(10.0) * rng.uniform(6, 10, (1, 24))
    form = laws.power_law("params")
    y = form.evaluate(form.theta_of({"E": 1.7, "a": 400, "b": 0.34})[None], form.design(log_x))[0][0]
    return Problem(form, log_x, y + rng.normal(0, 0.01, 24), Squared(), np.ones(3, bool), *form.box())


@pytest.fixture
def seen(monkeypatch):
    """The weights and targets of every sample instead of refits."""
    found = {}

    def solve(problem, starts, weights, *, stages, targets=None):
        everyone = np.arange(len(starts))
        found["starts"], found["weights"] = starts, np.broadcast_to(weights(everyone), (len(starts), len(problem.y)))
        found["pieces"] = np.concatenate([np.broadcast_to(weights(part), (len(part), len(problem.y))) for part in np.array_split(everyone, 5)])  # fmt: skip
        found["targets"] = None if targets is None else targets(everyone)
        return starts, np.zeros(len(starts))

    monkeypatch.setattr(intervals, "solve", solve)
    return found


THETA = np.array([1.7, np.log(400), 0.34])


def test_rows_are_drawn_as_often_as_there_are_rows(problem, seen):
    weights = np.linspace(0.5, 2, 24)
    resample(problem, THETA, weights, None, Resampling(samples=500))
    counts = seen["weights"] / weights
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-12)
    np.testing.assert_allclose(counts.sum(1), 24)
    assert counts.mean(0) == pytest.approx(np.ones(24), abs=6 * np.sqrt(1 / 500))
    assert counts.var() == pytest.approx(1 - 1 / 24, rel=0.05)  # binomial, of 24 draws with probability 1 / 24
    np.testing.assert_array_equal(seen["pieces"], seen["weights"])


def test_rows_without_weight_are_never_drawn(problem, seen):
    weights = np.ones(24)
    weights[::3] = 0
    resample(problem, THETA, weights, None, Resampling(samples=50))
    assert (seen["weights"][:, ::3] == 0).all() and (seen["weights"].sum(1) == 16).all()
    assert len(jackknife(problem, THETA, weights, None)) == 16
    assert (seen["weights"].sum(1) == 15).all()


@pytest.mark.parametrize("kept", [0, 10**9], ids=["drawn where needed", "drawn once"])
def test_clusters_are_drawn_whole(problem, seen, monkeypatch, kept):
    monkeypatch.setattr(intervals, "MOST_KEPT", kept)
    labels = np.repeat([3, 1, 7, 5], [2, 4, 8, 10])
    resample(problem, THETA, np.ones(24), labels, Resampling("clusters", 200))
    for label in np.unique(labels):
        assert (np.ptp(seen["weights"][:, labels == label], axis=1) == 0).all()
    assert (seen["weights"][:, [0, 2, 6, 14]].sum(1) == 4).all()
    assert seen["weights"].sum() == pytest.approx(24 * 200, rel=0.05)
    np.testing.assert_array_equal(seen["pieces"], seen["weights"])
    jackknife(problem, THETA, np.ones(24), labels)
    assert sorted(24 - seen["weights"].sum(1)) == [2, 4, 8, 10]


def test_seeds_reproduce_and_differ_and_do_not_depend_on_what_is_kept(problem, seen, monkeypatch):
    def draw(seed):
        resample(problem, THETA, np.ones(24), None, Resampling(samples=20, seed=seed))
        return seen["weights"].copy()

    first = draw(1)
    np.testing.assert_array_equal(first, draw(1))
    assert (first != draw(2)).any()
    monkeypatch.setattr(intervals, "MOST_KEPT", 0)
    np.testing.assert_array_equal(first, draw(1))


def test_parametric_samples_are_the_law_and_residuals_of_rows_with_weight(problem, seen):
    weights = np.ones(24)
    weights[[2, 9]] = 0
    resample(problem, THETA, weights, None, Resampling("parametric", 400))
    law = problem.form.evaluate(THETA[None], problem.design)[0][0]
    errors = (problem.y - law)[weights > 0] * np.sqrt(22 / 19)
    drawn = (seen["targets"] - law)[:, weights > 0]
    assert np.abs(drawn[..., None] - errors).min(-1).max() < 1e-12
    assert drawn.std() == pytest.approx(errors.std(), rel=0.05)
    assert (seen["weights"] == weights).all()


def test_parametric_samples_of_clusters_keep_their_correlation(problem, seen):
    labels = np.repeat(np.arange(6), 4)
    together = np.repeat(
        np.random.default_rng(0).normal(0, 1, 6), 4
    )  # one error per cluster and hardly any of a row's own
    law = problem.form.evaluate(THETA[None], problem.design)[0][0]
    problem.y[:] = law + together + np.random.default_rng(1).normal(0, 0.01, 24)
    resample(problem, THETA, np.ones(24), labels, Resampling("parametric", 100))
    drawn = (seen["targets"] - law).reshape(100, 6, 4)
    assert drawn.std(-1).max() < 0.05
    assert drawn.mean(-1).std() == pytest.approx(together.std() * np.sqrt(24 / 21), rel=0.1)


def test_the_jackknife_leaves_each_run_out_once_or_in_groups(problem, seen, monkeypatch):
    jackknife(problem, THETA, np.ones(24), None)
    np.testing.assert_array_equal(seen["weights"], 1 - np.eye(24))
    monkeypatch.setattr(intervals, "MOST_GROUPS", 5)
    jackknife(problem, THETA, np.ones(24), None)
    left = 1 - seen["weights"]
    assert (left.sum(0) == 1).all() and sorted(left.sum(1)) == [4, 5, 5, 5, 5]


def test_groups_of_the_jackknife_leave_the_acceleration_as_it_is():
    data = np.random.default_rng(7).exponential(size=4000)
    estimate, samples, each = means(data, 999)
    groups = np.random.default_rng(8).permutation(4000) % 200
    grouped = np.array([data[groups != g].mean() for g in range(200)])
    assert bca_interval(estimate, samples, grouped) == pytest.approx(bca_interval(estimate, samples, each), rel=2e-3)


def test_refits_start_all_over_a_pool_of_optima(problem, seen):
    pool = np.stack([THETA, THETA + 1, THETA + 2])
    resample(problem, THETA, np.ones(24), None, Resampling(samples=90), pool)
    starts, counts = np.unique(seen["starts"], axis=0, return_counts=True)
    np.testing.assert_array_equal(starts, pool)
    assert counts.min() > 15


def test_independent_units():
    weights = np.array([1, 0, 2, 1, 0.5])
    assert independent_units(weights, None)[0] == 4
    units, unit = independent_units(weights, np.array([4, 9, 4, 2, 2]))
    assert units == 2 and unit[0] == unit[2] != unit[3] == unit[4]


def test_intervals_of_a_fit_are_those_of_its_samples_and_jackknife(problem):
    compute, loss = np.exp(problem.log_x[0]), np.exp(problem.y)
    fit = laws.fit_power_law(compute, loss, bootstrap=150, loss_function="squared")
    again = laws.fit_power_law(compute, loss, bootstrap=150, loss_function="squared")
    assert fit.intervals == again.intervals
    assert fit.intervals != laws.fit_power_law(compute, loss, bootstrap=150, loss_function="squared", seed=1).intervals
    for i, name in enumerate(fit.form.names):
        natural = [fit.form.natural(theta)[..., i] for theta in (fit.theta, fit.samples, fit.left_out)]
        assert fit.intervals[name] == pytest.approx(slow_bca(*natural), rel=1e-9)
    lower, upper = fit.band(compute[:3], level=0.8)
    draws = fit.draws(compute[:3])
    assert draws.shape == (150, 3)
    left_out = fit.form.at(fit.left_out, compute[:3])
    assert (lower[1], upper[1]) == pytest.approx(
        slow_bca(fit.predict(compute[:3])[1], draws[:, 1], left_out[:, 1], 0.8)
    )
    with pytest.raises(InputError, match="no bootstrap samples, expected bootstrap > 0"):
        laws.fit_power_law(compute, loss, bootstrap=0).band(compute)
