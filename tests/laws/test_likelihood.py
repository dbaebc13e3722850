"""Likelihood: the delta method and profiles against the theory of least squares, open ends where the data are silent."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from laimbench import laws
from laimbench.errors import InputError
from laimbench.laws.likelihood import covariance, delta_interval, design_effect, held, kappa, profile, ratio

SIGMA = 0.01


def line(rows=40, seed=0, **options):
    """A power law without irreducible loss is a straight line in logarithms: least squares has exact theory."""
    rng = np.random.default_rng(seed)
    x = 10 ** rng.uniform(6, 10, rows)
    loss = np.exp(2 - 0.1 * np.log(x) + rng.normal(0, SIGMA, rows))
    options = {"bootstrap": 0, "loss_function": "squared", "fixed": {"E": 0}} | options
    return np.log(x), np.log(loss), laws.fit_form(laws.power_law(), (x,), loss, **options)


def least_squares(log_x, y, weights=None):
    weights = np.ones(len(y)) if weights is None else weights
    design = np.stack([np.ones(len(y)), -log_x], axis=1)
    information = design.T @ (weights[:, None] * design)
    theta = np.linalg.solve(information, design.T @ (weights * y))
    variance = (weights * (y - design @ theta) ** 2).sum() / (len(y) - 2)
    return theta, np.linalg.inv(information) * variance, variance


def test_kappa_of_squares_is_one_over_the_variance():
    log_x, y, fit = line()
    variance = least_squares(log_x, y)[2]
    assert kappa(fit.problem, fit.theta, fit.weights) == pytest.approx(1 / variance, rel=1e-9)
    assert 1 / variance == pytest.approx(1 / SIGMA**2, rel=0.5)


def test_kappa_of_a_wide_huber_loss_is_that_of_squares_and_of_a_narrow_one_that_of_medians():
    rng = np.random.default_rng(1)
    x = 10 ** rng.uniform(6, 10, 20_000)
    noise = rng.normal(0, SIGMA, 20_000)
    for delta, expected in ((100 * SIGMA, 1 / SIGMA**2), (1e-3 * SIGMA, None)):
        fit = laws.fit_power_law(
            x, np.exp(2 - 0.1 * np.log(x) + noise), bootstrap=0, fixed={"E": 0}, delta=delta, starts=[[0, 2, 0.1]]
        )
        if expected is None:  # psi is delta sign(r): E psi' = 2 delta f(0) and E psi^2 = delta^2
            expected = 2 * stats.norm.pdf(0) / SIGMA / delta
        assert kappa(fit.problem, fit.theta, fit.weights) == pytest.approx(expected, rel=0.05)


def test_covariance_and_delta_intervals_are_those_of_least_squares():
    log_x, y, fit = line()
    theta, expected, _ = least_squares(log_x, y)
    np.testing.assert_allclose(fit.theta[1:], theta, rtol=1e-8)
    found = covariance(fit)
    np.testing.assert_allclose(found[1:, 1:], expected, rtol=1e-6)
    assert (found[0] == 0).all() and (found[:, 0] == 0).all()
    half = stats.t.ppf(0.975, 38) * np.sqrt(expected[1, 1])
    lower, upper = delta_interval(fit, lambda t: t[..., 2])
    assert (lower, upper) == pytest.approx((theta[1] - half, theta[1] + half), rel=1e-6)
    at = np.array([1e7, 1e11])
    lower, upper = delta_interval(fit, lambda t: np.log(fit.form.at(t, at)), level=0.8)
    design = np.stack([np.ones(2), -np.log(at)], axis=1)
    half = stats.t.ppf(0.9, 38) * np.sqrt(np.einsum("ri,ij,rj->r", design, expected, design))
    np.testing.assert_allclose(upper - lower, 2 * half, rtol=1e-5)


def test_weights_are_relative_as_in_weighted_least_squares():
    weights = np.random.default_rng(2).uniform(0.2, 3, 40)
    weights[5] = 0
    for scale in (1.0, 1e-6, 1e6):
        log_x, y, fit = line(weights=weights * scale)
        used = weights > 0
        _, expected, variance = least_squares(log_x[used], y[used], weights[used])
        np.testing.assert_allclose(covariance(fit)[1:, 1:], expected, rtol=1e-6)
        assert kappa(fit.problem, fit.theta, fit.weights) * scale == pytest.approx(1 / variance, rel=1e-6)


def test_the_profile_of_a_line_is_a_parabola():
    log_x, y, fit = line()
    theta, expected, variance = least_squares(log_x, y)
    error = np.sqrt(expected[1, 1])
    found = profile(fit, "b")
    np.testing.assert_allclose(found.ratios, ((found.values - theta[1]) / error) ** 2, atol=1e-5)
    half = stats.norm.ppf(0.975) * error
    assert found.interval == pytest.approx((theta[1] - half, theta[1] + half), rel=1e-5)
    narrow = profile(fit, "b", level=0.5).interval
    assert narrow == pytest.approx((theta[1] - 0.67449 * error, theta[1] + 0.67449 * error), rel=1e-5)
    assert profile(fit, "a").interval[0] == pytest.approx(
        np.exp(theta[0] - stats.norm.ppf(0.975) * np.sqrt(expected[0, 0])), rel=1e-5
    )
    np.testing.assert_allclose(
        ratio(fit.problem, fit.theta, fit.weights, np.array([fit.objective, fit.objective + variance])),
        [0, 2],
        atol=1e-9,
    )


def test_a_held_parameter_stays_and_the_others_find_their_best():
    log_x, y, fit = line()
    values = fit.theta[2] + np.array([-0.01, 0.02])
    for path in (None, np.array([0.0, 20.0, 1.0])):
        theta, objective = held(fit.problem, fit.theta, fit.weights, 2, values, path)
        np.testing.assert_array_equal(theta[:, 2], values)
        level = (y + values[:, None] * log_x).mean(1)
        np.testing.assert_allclose(theta[:, 1], level, rtol=1e-9)
        np.testing.assert_allclose(
            objective, 0.5 * ((level[:, None] - values[:, None] * log_x - y) ** 2).sum(1), rtol=1e-9
        )


def test_clusters_widen_what_the_likelihood_says():
    rng = np.random.default_rng(3)
    x = np.repeat(10 ** rng.uniform(6, 10, 20), 5)
    loss = np.exp(2 - 0.1 * np.log(x) + np.repeat(rng.normal(0, SIGMA, 20), 5))
    options = {"bootstrap": 0, "loss_function": "squared", "fixed": {"E": 0}}
    alone, once = laws.fit_power_law(x, loss, **options), laws.fit_power_law(x[::5], loss[::5], **options)
    clusters = laws.fit_power_law(x, loss, clusters=np.repeat(np.arange(20), 5), **options)
    assert clusters.effective_runs == pytest.approx(20, rel=0.01)
    assert design_effect(alone) == 1 and design_effect(clusters) == pytest.approx(5, rel=0.01)
    np.testing.assert_allclose(covariance(clusters), 5 * covariance(alone), rtol=0.01)
    widths = [np.subtract(*profile(fit, "b").interval[::-1]) for fit in (alone, clusters, once)]
    assert widths[1] == pytest.approx(np.sqrt(5) * widths[0], rel=0.02)
    assert widths[1] == pytest.approx(widths[2], rel=0.1)  # as if each cluster were one run


def test_ends_are_open_where_the_irreducible_loss_is_not_identified():
    rng = np.random.default_rng(4)
    x = np.geomspace(1e8, 1e9, 15)
    fit = laws.fit_power_law(x, 20 * x**-0.1 * np.exp(rng.normal(0, 0.02, 15)), bootstrap=0, loss_function="squared")
    low, high = profile(fit, "E").interval
    assert low is None and high is not None and high < 20 * 1e9**-0.1
    wide = laws.fit_power_law(
        np.geomspace(1e3, 1e12, 60),
        1.5 + 20 * np.geomspace(1e3, 1e12, 60) ** -0.2,
        bootstrap=0,
        starts=[[1.4, 3.0, 0.2]],
    )
    assert profile(wide, "E").interval == pytest.approx((1.5, 1.5), rel=1e-6)  # no noise: no doubt


def test_a_flat_direction_has_no_narrow_interval_and_does_not_widen_what_is_known():
    rng = np.random.default_rng(5)
    tokens = 10 ** rng.uniform(8, 11, 40)
    loss = (2.4 + 900 / tokens**0.31) * np.exp(rng.normal(0, 0.003, 40))
    fit = laws.fit_chinchilla(np.full(40, 1e8), tokens, loss, bootstrap=0, loss_function="squared")
    lower, upper = delta_interval(fit, lambda t: t)
    width = dict(zip(fit.form.names, upper - lower, strict=True))
    assert width["alpha"] > 100 and width["E"] > 100
    assert width["beta"] < 0.1
    lower, upper = delta_interval(fit, lambda t: fit.form.at(t, [1e8], [1e10])[..., 0])
    assert upper - lower < 0.02  # within the data the loss is known
    assert None in profile(fit, "alpha").interval and profile(fit, "E").interval[0] is None
    known = profile(fit, "beta").interval
    assert 0.25 < known[0] < fit.params["beta"] < known[1] < 0.37


def test_profiles_of_a_huber_fit_are_the_best_that_fits_from_anywhere_find():
    rng = np.random.default_rng(6)
    params, tokens = 10 ** rng.uniform(6, 10, 60), 10 ** rng.uniform(8, 11, 60)
    loss = (1.7 + 400 / params**0.34 + 900 / tokens**0.31) * np.exp(0.005 * rng.standard_t(3, 60))
    fit = laws.fit_chinchilla(params, tokens, loss, bootstrap=0)
    found = profile(fit, "alpha")
    assert found.ratios.min() == 0 and found.interval[0] < 0.34 < found.interval[1]
    assert found.to_dict()["interval"] == list(found.interval)
    for i in (0, len(found.values) // 4, -1):
        again = laws.fit_chinchilla(params, tokens, loss, bootstrap=0, fixed={"alpha": found.values[i]})
        expected = ratio(fit.problem, fit.theta, fit.weights, np.array([again.objective]))[0]
        assert found.ratios[i] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_loss_that_gives_all_residuals_up_says_that_it_knows_nothing():
    x = np.geomspace(1e6, 1e9, 20)
    residual = np.where(np.arange(20) % 2, 0.5, -0.5)
    fit = laws.fit_power_law(
        x,
        np.exp(2 - 0.1 * np.log(x) + residual),
        bootstrap=0,
        loss_function="cauchy",
        delta=0.01,
        fixed={"E": 0, "b": 0.1},
    )
    between = replace(fit, theta=np.array([0, 2.0, 0.1]))
    assert kappa(between.problem, between.theta, between.weights) < 0
    assert np.isnan(covariance(between)[1, 1]) and np.isnan(delta_interval(between, lambda t: t[..., 1])).all()


def test_wrong_names_are_named():
    fit = line()[2]
    for name in ("E", "beta"):
        with pytest.raises(InputError, match=f"profile of '{name}', expected a free parameter: a, b"):
            profile(fit, name)
