"""Options of fits: losses, weights, fixed, bounds, starts, clusters; and one clear line for each wrong one."""

import numpy as np
import pytest
from scipy.optimize import minimize

from laimbench import laws
from laimbench.errors import InputError

pytestmark = pytest.mark.filterwarnings("error")
RNG = np.random.default_rng(0)
X = 10 ** RNG.uniform(6, 10, 30)
LOSS = (1.7 + 400 / X**0.34) * np.exp(0.004 * RNG.standard_t(3, 30))


def fit(x=X, loss=LOSS, **options):
    return laws.fit_power_law(x, loss, **{"bootstrap": 0} | options)


def plain(theta, weights=1.0, delta=None, kind="huber"):
    """The objective in plain words."""
    r = np.log(theta[0] + np.exp(theta[1]) / X ** theta[2]) - np.log(LOSS)
    if kind == "squared":
        return (weights * r**2 / 2).sum()
    if kind == "cauchy":
        return (weights * delta**2 / 2 * np.log(1 + (r / delta) ** 2)).sum()
    return (weights * np.where(np.abs(r) <= delta, r**2 / 2, delta * (np.abs(r) - delta / 2))).sum()


@pytest.mark.parametrize(
    ("kind", "given", "delta"),
    [
        ("squared", None, None),
        ("cauchy", None, 1e-2),
        ("cauchy", 3e-3, 3e-3),
        ("huber", None, 1e-3),
        ("huber", 0.02, 0.02),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_each_loss_function_at_its_delta_with_weights(kind, given, delta, weighted):
    weights = np.linspace(0.2, 3, 30) if weighted else None
    found = fit(loss_function=kind, delta=given, weights=weights)
    w = 1.0 if weights is None else weights
    theta = np.array([found.params["E"], np.log(found.params["a"]), found.params["b"]])
    assert found.objective == pytest.approx(plain(theta, w, delta, kind), rel=1e-10)
    assert found.objective_at(found.params) == pytest.approx(found.objective, rel=1e-9)
    again = minimize(
        lambda t: plain(t, w, delta, kind) / found.objective, theta, method="Nelder-Mead", options={"fatol": 1e-13}
    )
    assert again.fun > 1 - 1e-9
    said = found.to_dict()
    assert said["loss_function"] == kind and said["delta"] == delta
    np.testing.assert_allclose(found.residuals, np.log(found.predict(X)) - np.log(LOSS), rtol=1e-9, atol=1e-14)


def test_fixed_parameters_are_given_back_as_they_were():
    found = fit(fixed={"E": 0, "b": 0.1}, bootstrap=30)
    assert found.params["E"] == 0 and found.params["b"] == 0.1 and set(found.intervals) == {"a"}
    assert found.fixed == {"E": 0.0, "b": 0.1}
    assert fit(fixed={"a": 0}).params["a"] == 0.0
    free = fit()
    assert fit(fixed={"b": free.params["b"]}).objective == pytest.approx(free.objective, rel=1e-9)
    assert fit(fixed={"b": "0.3"}).params["b"] == 0.3


def test_bounds_hold_and_a_bound_that_does_not_bind_changes_nothing():
    free = fit()
    held = fit(bounds={"b": (0.2, 0.3), "E": (1.0, np.inf)}, bootstrap=200)
    assert 0.2 <= held.params["b"] <= 0.3 and held.objective > free.objective
    assert (held.sample_params["b"] <= 0.3).all() and (held.sample_params["E"] >= 1.0).all()
    loose = fit(bounds={"b": (-np.inf, 10), "E": (0.0, 5), "a": (0, 1e9)})
    assert loose.objective == pytest.approx(free.objective, rel=1e-10)
    assert held.warnings == ["b is at its bound 0.3"] and loose.warnings == []


def test_starts_of_ones_own():
    theta = fit().theta
    one = fit(starts=theta)
    assert (
        one.verdict.starts == 1
        and one.verdict.agreeing == 1
        and one.objective == pytest.approx(fit().objective, rel=1e-10)
    )
    assert fit(starts=[theta.tolist(), (theta + 0.1).tolist()]).verdict.starts == 2


def test_labels_of_clusters_are_whatever_tells_runs_apart():
    names = np.array([f"run {i // 3}" for i in range(30)])
    by_name = fit(clusters=names, bootstrap=40)
    by_number = fit(clusters=np.arange(30) // 3, bootstrap=40)
    mixed = fit(clusters=[f"run {i // 3}" if i < 15 else i // 3 for i in range(30)], bootstrap=40)
    assert by_name.resampling.kind == "clusters"
    assert by_name.intervals.keys() == by_number.intervals.keys() == mixed.intervals.keys()
    assert by_name.effective_runs == by_number.effective_runs == mixed.effective_runs


def test_parametric_resampling_and_its_seed():
    first = fit(resampling="parametric", bootstrap=60, seed=3)
    assert first.resampling.to_dict() == {"kind": "parametric", "samples": 60, "seed": 3}
    assert first.intervals == fit(resampling="parametric", bootstrap=60, seed=3).intervals
    assert first.intervals["E"][0] < 1.7 < first.intervals["E"][1]


def test_runs_by_name_and_tokens_per_parameter():
    params, tokens = X, 20 * X[::-1]
    runs = {"params": params, "tokens": tokens, "loss": 1.5 + 3 * (tokens / params) ** -0.2}
    found = laws.fit_runs(runs, laws.power_law("tokens_per_param"), bootstrap=0)
    assert found.params == pytest.approx({"E": 1.5, "a": 3.0, "b": 0.2}, rel=1e-8)
    with pytest.raises(InputError, match="no column flops, needed by form power; there are params, tokens"):
        laws.fit_runs(runs, "power")
    with pytest.raises(InputError, match="no column accuracy"):
        laws.fit_runs(runs, target="accuracy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss_function": "l1"}, "loss function is 'l1'"),
        ({"delta": 0}, "delta is 0, expected a positive number"),
        ({"delta": -1.0, "loss_function": "cauchy"}, "delta is -1.0"),
        ({"weights": np.ones(29)}, r"weights have shape \(29,\), expected \(30,\)"),
        ({"weights": -np.ones(30)}, "weights hold a value below 0"),
        ({"weights": np.zeros(30)}, "all 0"),
        ({"weights": np.full(30, np.inf)}, "not finite"),
        ({"weights": ["heavy"] * 30}, "weights holds what is no number"),
        ({"weights": np.where(np.arange(30) < 2, 1, 0)}, "2 rows, expected at least 3"),
        ({"fixed": {"alpha": 1}}, "fixed names 'alpha', expected some of E, a, b"),
        ({"fixed": {"E": -1}}, "fixed: E is -1.0, expected a finite number of 0 or more"),
        ({"fixed": {"b": np.nan}}, "fixed: b is nan"),
        ({"fixed": {"b": "steep"}}, "fixed: b is 'steep', expected a number"),
        ({"fixed": {"E": 1, "a": 1, "b": 1}}, "all parameters are fixed"),
        ({"bounds": {"alpha": (0, 1)}}, "bounds name 'alpha'"),
        ({"bounds": {"b": (0, 1)}, "fixed": {"b": 1}}, "b is both fixed and bounded"),
        ({"bounds": {"b": (1, 0)}}, "bounds of b are 1.0 to 0.0, expected a lower and a higher"),
        ({"bounds": {"b": (np.nan, 1)}}, "expected a lower and a higher"),
        ({"bounds": {"b": 1}}, r"bounds of b have shape \(\)"),
        ({"bounds": {"b": ("low", 1)}}, "bounds of b holds what is no number"),
        ({"bounds": {"b": (30, 40)}}, "bounds of b are 30 to 40, expected some of the range"),
        ({"bounds": {"E": (-1, 1)}}, "bounds: E is -1.0, expected a finite number of 0 or more"),
        ({"starts": [[1, 2]]}, r"starts have shape \(1, 2\), expected finite numbers \(starts, 3\)"),
        ({"starts": np.empty((0, 3))}, r"starts have shape \(0, 3\)"),
        ({"starts": [[1, 2, np.nan]]}, "expected finite numbers"),
        ({"starts": [["E", 2, 3]]}, "starts holds what is no number"),
        ({"starts": [[1e3, 200, -20]], "fixed": {"b": -300}}, "the objective is not finite at any of 1 starts"),
        ({"clusters": ["a"] * 29}, r"clusters have shape \(29,\), expected \(30,\)"),
        ({"resampling": "clusters"}, "resampling is 'clusters' without clusters"),
        ({"resampling": "jackknife"}, "resampling is 'jackknife', expected one of rows, clusters, parametric"),
        ({"bootstrap": -5}, "bootstrap is -5, expected 0 or more"),
        ({"loss": LOSS[:-1]}, "flops has 30 rows and loss has 29"),
        ({"loss": np.where(np.arange(30) == 4, np.nan, LOSS)}, r"loss\[4\] is nan, expected a positive finite number"),
        ({"loss": np.where(np.arange(30) == 4, 0, LOSS)}, r"loss\[4\] is 0.0"),
        ({"loss": ["low"] * 30}, "loss holds what is no number"),
        ({"x": -X}, r"flops\[0\] is -"),
        ({"x": X.reshape(3, 10)}, r"flops has shape \(3, 10\)"),
        ({"x": [], "loss": []}, "0 rows, expected at least 3"),
    ],
)
def test_what_is_wrong_is_named(options, message):
    with pytest.raises(InputError, match=message):
        fit(**options)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_metrics_out_of_their_range_are_named(value):
    with pytest.raises(InputError, match=r"metric\[2\] is .*, expected a number from 0 to 1"):
        laws.fit_form(laws.Sigmoid(), (X,), np.where(np.arange(30) == 2, value, 0.5), bootstrap=0)


def test_claims_are_checked_on_the_same_objective():
    found = fit()
    assert found.objective_at({"E": 1.7, "a": 400, "b": 0.34}) > found.objective
    with pytest.raises(InputError, match="check lacks a, b, expected all of E, a, b"):
        found.objective_at({"E": 1.7})
    with pytest.raises(InputError, match="check names 'gamma'"):
        found.objective_at({"gamma": 1.7})
