"""Verdicts: nothing confident of what the data leave open."""

import json
import re
from functools import cache

import numpy as np
import pytest

from laimbench import laws
from laimbench.laws.fit import Fit
from laimbench.laws.verdict import effective_runs

pytestmark = pytest.mark.filterwarnings("error")
RNG = np.random.default_rng(0)
N, D = 10 ** RNG.uniform(6, 10, 40), 10 ** RNG.uniform(8, 11, 40)
ONE, TWO = np.full(40, 1e8), np.where(np.arange(40) % 2, 1e8, 1e9)
TRUTH = {"E": 1.7, "A": 400, "alpha": 0.34, "B": 900, "beta": 0.31}


def loss_of(params, tokens, noise=0.003, seed=1):
    clean = 1.7 + 400 / params**0.34 + 900 / tokens**0.31
    return clean * np.exp(noise * np.random.default_rng(seed).normal(size=len(params)))


def fit(params, tokens, loss=None, **options) -> Fit:
    loss = loss_of(params, tokens) if loss is None else loss
    return laws.fit_chinchilla(params, tokens, loss, **{"bootstrap": 60} | options)


# what is degenerate, the fit, what must be said, which parameters may have an interval
DEGENERATE = {
    "one size": (lambda: fit(ONE, D), ["params takes 1 value only", "alpha.* not identified", "E is not identified"], "B beta"),
    "one size, no noise": (lambda: fit(ONE, D, loss_of(ONE, D, 0)), ["params takes 1 value only", "E is not identified"], "B beta"),
    "two sizes": (lambda: fit(TWO, D), ["params takes 2 values only", "E and A and alpha are not identified"], "B beta"),
    "one length": (lambda: fit(N, ONE), ["tokens takes 1 value only", "beta.* not identified"], "A alpha"),
    "one budget": (lambda: fit(N, 1e19 / 6 / N), ["params and tokens vary together .correlation -1.0000"], "E A alpha B beta"),
    "20 tokens per parameter": (lambda: fit(N, 20 * N), ["params and tokens vary together .correlation 1.0000", "E is not identified"],
                                "alpha B beta"),
    "five runs": (lambda: fit(N[:5], D[:5]), ["5 independent runs for 5 parameters: .* no interval can be given"], ""),
    "six runs": (lambda: fit(N[:6], D[:6]), ["6 independent runs for 5 parameters: one to spare, no interval can be given"], ""),
    "seven runs": (lambda: fit(N[:7], D[:7]), ["7 independent runs for 5 parameters: intervals are rough"], "E A alpha B beta"),
    "all losses equal": (lambda: fit(N, D, np.full(40, 3.0)), ["all losses are equal", "E is not identified"], ""),
    "two clusters": (lambda: fit(N, D, clusters=np.arange(40) % 2), ["2 independent runs for 5 parameters"], ""),
    "an outlier of weight": (
        lambda: fit(N, D, loss_of(N, D) * np.where(np.arange(40) == 3, 1.5, 1), weights=np.where(np.arange(40) == 3, 1e3, 1)),
        ["one row has more than half of the weight"], "E A alpha B beta"),
    "noise only": (lambda: fit(N, D, np.exp(np.random.default_rng(2).normal(1, 0.3, 40))), ["E is not identified"], "E A alpha B beta"),
    "kaplan, one size": (lambda: laws.fit_form(laws.KAPLAN, (ONE, D), loss_of(ONE, D), bootstrap=40),
                         ["params takes 1 value only", "N_c and alpha_N are not identified"], "D_c alpha_D"),
    "power, two sizes": (lambda: laws.fit_power_law(TWO, loss_of(TWO, ONE), bootstrap=40), ["flops takes 2 values only", "E and a and b"], ""),
    "no repeated data": (lambda: laws.fit_form(laws.REPEATED, (N, D, D), loss_of(N, D), bootstrap=20), ["R_D.* not identified"],
                         "E A alpha B beta R_N"),
    "metric, one size": (lambda: laws.fit_form(laws.Sigmoid(), (ONE,), np.full(40, 0.5), bootstrap=20),
                         ["flops takes 1 value only", "all losses are equal"], ""),
    "metric, middle only": (
        lambda: laws.fit_form(laws.Sigmoid(), (N,), 0.4 + 0.02 * np.log10(N / 1e8) + RNG.normal(0, 0.01, 40), bootstrap=40),
        ["another optimum fits about as well|not identified"], "floor ceiling k x_half"),
}  # fmt: skip


@cache
def degenerate(case) -> Fit:
    return DEGENERATE[case][0]()


@pytest.mark.parametrize("case", DEGENERATE)
def test_what_data_leave_open_is_said_and_has_no_interval(case):
    _, expected, allowed = DEGENERATE[case]
    found = degenerate(case)
    text = "\n".join(found.warnings)
    for words in expected:
        assert any(re.search(words, warning) for warning in found.warnings), text
    assert set(found.intervals) <= set(allowed.split()), found.intervals
    for name, (low, high) in found.intervals.items():
        assert low <= found.params[name] <= high
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("case", ["one size", "one budget", "noise only", "two sizes", "20 tokens per parameter"])
def test_a_law_of_too_little_does_not_predict_with_confidence(case):
    """Far from the data the band holds the truth."""
    found = degenerate(case)
    low, high = found.band([3e11], [3e12])
    truth = loss_of(np.array([3e11]), np.array([3e12]), 0) if case != "noise only" else np.exp([1.0])
    assert low <= truth <= high


def test_sound_data_give_no_warning():
    found = fit(N, D)
    assert found.warnings == [] and found.verdict.flat == [] and found.verdict.rivals == []
    assert found.verdict.agreeing == 1.0 and found.verdict.gradient_norm < 1e-4
    assert found.verdict.eigenvalues[0] > 0 and found.effective_runs == 40
    assert set(found.intervals) == set(TRUTH)


def test_the_warnings_of_rows_without_weight_are_not_given():
    weights = np.where(np.arange(40) < 30, 1.0, 0.0)
    sizes = np.where(weights > 0, 1e8, N)
    found = fit(sizes, D, weights=weights, bootstrap=0)
    assert any("params takes 1 value only" in warning for warning in found.warnings)


def test_a_fit_that_is_no_optimum_says_so():
    found = fit(N, D, bootstrap=0)
    stopped = laws.verdict.Verdict(**{**found.verdict.__dict__, "gradient_norm": 3.0})
    said = laws.verdict.judge(found.problem, found.theta, found.weights, 40, {}, stopped)
    assert any("this is not an optimum" in warning for warning in said)


def test_another_optimum_that_fits_as_well_is_named():
    found = fit(N, D, np.exp(np.random.default_rng(2).normal(1, 0.3, 40)), bootstrap=0)
    objective, params = found.verdict.rivals[0]
    assert objective > found.objective and found.objective_at(params) == pytest.approx(objective, rel=1e-9)
    assert any(abs(params[name] / value - 1) > 0.1 for name, value in found.params.items() if value)
    assert any(
        warning.startswith(f"another optimum fits about as well (objective {objective:.6e})")
        for warning in found.warnings
    )


# The effective number of runs


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("sizes", [[5] * 400, [1, 2, 12] * 130], ids=["equal", "unequal"])
def test_effective_runs_are_those_of_simulated_clusters(rho, sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(3)
    residuals = np.sqrt(rho) * rng.normal(size=len(sizes))[labels] + np.sqrt(1 - rho) * rng.normal(size=len(labels))
    rows, squares = sum(sizes), sum(m * m for m in sizes)
    expected = rows / (1 + (squares / rows - 1) * rho)  # rows over rows times the variance of their mean
    found = effective_runs(residuals, np.ones(rows), labels)
    assert found == pytest.approx(expected, rel=0.25 if rho else 0.3)
    means = [(np.sqrt(rho) * rng.normal(size=len(sizes))[labels] + np.sqrt(1 - rho) * rng.normal(size=rows)).mean()
             for _ in range(300)]  # fmt: skip
    assert 1 / np.var(means) == pytest.approx(expected, rel=0.3)


def test_effective_runs_of_weights_and_of_plain_cases():
    weights = np.array([1.0, 1, 2, 0])
    assert effective_runs(np.zeros(4), weights, None) == pytest.approx(16 / 6)
    residuals = np.array([1.0, 1, -1, -1, 3, 3])
    assert effective_runs(residuals, np.ones(6), np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(3)  # copies
    assert effective_runs(residuals, np.ones(6), np.arange(6)) == pytest.approx(6)  # each alone
    assert effective_runs(residuals, np.ones(6), np.zeros(6, int)) == 1  # one run after all
    with_weight = np.array([1.0, 1, 1, 1, 0, 0])
    assert effective_runs(residuals, with_weight, np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(2)
