"""The solver: optima that a careful SciPy loop cannot better, limits kept, and nothing that depends on parts, threads or row order."""

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from laimbench import laws
from laimbench.errors import InputError
from laimbench.laws import solver
from laimbench.laws.forms import CHINCHILLA, KAPLAN, POWER_LAW, REPEATED, Broken, Sigmoid, parse_form
from laimbench.laws.losses import Cauchy, Huber, Squared, make_loss
from laimbench.laws.solver import FROM_NEAR, Problem, solve

TABLES = Path(laws.__file__).parent / "tables"
TRUTH = np.array([1.7, np.log(400), 0.34, np.log(900), 0.31])


def problem_of(form, log_x, y, loss=None, fixed=None, low=None, high=None):
    box = form.box()
    free = np.ones(form.size, bool)
    low, high = (np.array(box[i] if ends is None else ends, dtype=float) for i, ends in enumerate((low, high)))
    for index, value in (fixed or {}).items():
        free[index], low[index], high[index] = False, value, value
    return Problem(form, log_x, y, loss or Huber(form.delta), free, low, high)


def chinchilla(rows=80, noise=0.005, seed=0, **options):
    rng = np.random.default_rng(seed)
    log_x = np.log(10.0) * np.stack([rng.uniform(6, 10, rows), rng.uniform(8, 11, rows)])
    y = CHINCHILLA.evaluate(TRUTH[None], CHINCHILLA.design(log_x))[0][0] + noise * rng.standard_t(3, rows)
    return problem_of(CHINCHILLA, log_x, y, **options)


@pytest.fixture(scope="module")
def published():
    runs = laws.read_table(TABLES / "chinchilla_epoch.csv", where={"kept_by_epoch": "1"}).runs()
    return problem_of(CHINCHILLA, np.log(np.stack([runs["params"], runs["tokens"]])), np.log(runs["loss"]))


def counts(rows, samples, seed=0):
    return np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), size=samples).astype(float)


def scipy_best(problem, theta, weights):
    """The least objective that BFGS and Nelder-Mead in turn, restarted, find from here; theta in units of its own curvature."""
    scale = problem.objective(theta, weights)[0]
    hessian = problem.derivatives(theta, weights)[1]
    values, vectors = np.linalg.eigh(hessian)
    frame = vectors / np.sqrt(np.maximum(np.abs(values), 1e-12 * np.abs(values).max()) / scale)

    def fall(step):
        return problem.objective(theta + frame @ step, weights)[0] / scale if np.isfinite(step).all() else np.inf

    def slope(step):
        return frame.T @ problem.derivatives(theta + frame @ step, weights)[0] / scale

    best, least = np.zeros(len(theta)), 1.0
    for method in ("BFGS", "Nelder-Mead", "BFGS"):
        options = {"gtol": 1e-12} if method == "BFGS" else {"maxfev": 400, "xatol": 1e-10, "fatol": 1e-15}
        found = minimize(fall, best, jac=slope if method == "BFGS" else None, method=method, options=options)
        if found.fun < least:
            best, least = found.x, found.fun
    return least


def test_the_published_table_has_one_optimum_from_every_start(published):
    hoffmann = itertools.product((-1, 0, 1), (0, 10, 20), (0, 1, 2), (0, 10, 20), (0, 1, 2))
    grid = np.array([(np.exp(e), a, alpha, b, beta) for e, a, alpha, b, beta in hoffmann], dtype=float)
    theta, value = solve(published, grid, np.ones(240))
    assert value.min() == pytest.approx(1.018274018e-3, rel=1e-9)
    assert (value <= value.min() * (1 + 1e-9)).mean() > 0.99
    best = theta[value.argmin()]
    assert CHINCHILLA.natural(best) == pytest.approx([1.81722, 477.826, 0.34731, 2143.417, 0.36717], rel=1e-5)
    theta, value = solve(published, CHINCHILLA.starts(published.log_x, published.y), np.ones(240))
    assert (value <= value.min() * (1 + 1e-9)).all()
    np.testing.assert_allclose(theta, np.tile(best, (len(theta), 1)), rtol=1e-5)


CASES = {
    "published": None,
    "noisy, squared": lambda: chinchilla(noise=0.02, loss=Squared()),
    "heavy tails, Cauchy": lambda: chinchilla(noise=0.01, loss=Cauchy(1e-2)),
    "kaplan": lambda: problem_of(KAPLAN, *_data(KAPLAN, {"N_c": 8.8e13, "alpha_N": 0.076, "D_c": 5.4e13, "alpha_D": 0.095})),
    "broken": lambda: problem_of(
        Broken(), *_data(Broken(), {"E": 1, "a": 30, "b": 0.06, "c": 0.15, "x_break": 1e9, "f": 0.3})
    ),
    "sigmoid": lambda: problem_of(
        Sigmoid(), *_data(Sigmoid(), {"floor": 0.1, "ceiling": 0.9, "k": 0.6, "x_half": 1e9})
    ),
}  # fmt: skip


def _data(form, natural, rows=150, noise=0.003):
    rng = np.random.default_rng(5)
    log_x = rng.uniform(14, 28, (len(form.variables), rows))
    clean = form.evaluate(form.theta_of(natural)[None], form.design(log_x))[0][0]
    return log_x, clean + rng.normal(0, noise, rows)


@pytest.mark.parametrize("case", CASES)
def test_bootstrap_refits_are_no_worse_than_scipy_from_where_they_end(case, published):
    problem = published if case == "published" else CASES[case]()
    rows = len(problem.y)
    theta, value = solve(problem, problem.form.starts(problem.log_x, problem.y)[::6], np.ones(rows))
    best = theta[value.argmin()]
    weights = counts(rows, 5)
    refits, values = solve(problem, np.tile(best, (5, 1)), lambda chosen: weights[chosen], stages=FROM_NEAR)
    for refit, value, w in zip(refits, values, weights, strict=True):
        assert value == pytest.approx(problem.objective(refit, w)[0], rel=1e-12)
        assert value <= problem.objective(best, w)[0]
        assert scipy_best(problem, refit, w) > 1 - 1e-8
        before = problem.objective(best, w)[0]
        assert value < before * (1 - 1e-6)  # there was something to find ...
        assert value <= scipy_best(problem, best, w) * before * (1 + 1e-8)  # ... and SciPy finds no more
        norm = np.linalg.norm(problem.derivatives(refit, w)[0]) / value
        assert norm < 1e-4, norm


def test_limits_are_kept_and_the_multipliers_point_outwards():
    low, high = CHINCHILLA.box()
    low, high = low.copy(), high.copy()
    low[0], high[2] = 1.9, 0.3  # E at least 1.9, alpha at most 0.3: the truth is outside of both
    problem = chinchilla(low=low, high=high, loss=Squared())
    starts = CHINCHILLA.starts(problem.log_x, problem.y)
    theta, value = solve(problem, starts, np.ones(80))
    assert ((low <= theta) & (theta <= high)).all()
    best = theta[value.argmin()]
    gradient = problem.derivatives(best, np.ones(80))[0] / value.min()
    at_low, at_high = best <= low, best >= high
    assert at_low[0] or at_high[2]
    assert (gradient[at_low] > 0).all() and (gradient[at_high] < 0).all()
    np.testing.assert_allclose(gradient[~at_low & ~at_high], 0, atol=1e-6)
    assert (value <= value.min() * (1 + 1e-9)).mean() > 0.99
    bounds = list(zip(low, np.where(np.isinf(high), None, high), strict=True))
    found = minimize(lambda t: problem.objective(t, np.ones(80))[0] * 1e4, best, bounds=bounds, method="L-BFGS-B")
    assert found.fun / 1e4 > value.min() * (1 - 1e-8)


def test_an_irreducible_loss_that_the_data_push_below_nothing_ends_at_nothing():
    log_x = np.log(np.geomspace(1e6, 1e10, 30))[None]
    bent = 3 - 0.1 * (log_x[0] - 14) - 0.01 * (log_x[0] - 14) ** 2  # steeper than any power law on the right
    problem = problem_of(POWER_LAW, log_x, bent)
    theta, value = solve(problem, POWER_LAW.starts(log_x, bent), np.ones(30))
    assert (theta[value <= value.min() * (1 + 1e-9)][:, 0] == 0).all()
    assert problem.derivatives(theta[value.argmin()], np.ones(30))[0][0] > 0


def test_fixed_parameters_do_not_move():
    problem = chinchilla(fixed={0: 1.6, 4: 0.3})
    starts = CHINCHILLA.starts(problem.log_x, problem.y)
    theta, value = solve(problem, starts, np.ones(80))
    assert (theta[:, 0] == 1.6).all() and (theta[:, 4] == 0.3).all()
    assert (value <= value.min() * (1 + 1e-9)).mean() > 0.99
    gradient = problem.derivatives(theta[value.argmin()], np.ones(80))[0] / value.min()
    np.testing.assert_allclose(gradient[1:4], 0, atol=1e-6)
    assert np.abs(gradient[[0, 4]]).min() > 1e-3


def test_threads_change_no_bit_and_parts_change_rounding_only(monkeypatch, published):
    starts = CHINCHILLA.starts(published.log_x, published.y)[::9]
    weights = counts(240, 60)
    best = solve(published, starts, np.ones(240))[0][0]

    def both():
        return solve(published, starts, np.ones(240)), solve(
            published, np.tile(best, (60, 1)), lambda chosen: weights[chosen], stages=FROM_NEAR
        )

    monkeypatch.setattr(solver, "PART_ELEMENTS", 240 * 7)
    cores = itertools.count(1)
    monkeypatch.setattr(solver, "usable_cores", lambda: range(next(cores) % 4 + 1))
    first, again = both(), both()
    for (theta, value), (other, same) in zip(first, again, strict=True):
        np.testing.assert_array_equal(theta, other)  # bit for bit
        np.testing.assert_array_equal(value, same)
    monkeypatch.setattr(solver, "PART_ELEMENTS", 240 * 31)
    for (theta, value), (other, near) in zip(first, both(), strict=True):
        np.testing.assert_allclose(near, value, rtol=1e-12)
        np.testing.assert_allclose(other, theta, rtol=1e-6)  # of a quadratic: half the digits


def test_row_order_does_not_matter():
    problem = chinchilla(150)  # more rows than THIN_ROWS: other rows lead the way
    order = np.random.default_rng(1).permutation(150)
    starts = CHINCHILLA.starts(problem.log_x, problem.y)[::5]
    (theta, value), (other, same) = (
        solve(problem, starts, np.ones(150)),
        solve(problem.rows(order), starts, np.ones(150)),
    )
    assert same.min() == pytest.approx(value.min(), rel=1e-11)
    np.testing.assert_allclose(other[same.argmin()], theta[value.argmin()], rtol=1e-7)


@pytest.mark.parametrize("loss", [Huber(1e-3), Cauchy(1e-2), Squared()], ids=["huber", "cauchy", "squared"])
def test_data_without_noise_are_met_to_machine_precision(loss):
    problem = chinchilla(noise=0.0, loss=loss)
    theta, value = solve(problem, CHINCHILLA.starts(problem.log_x, problem.y), np.ones(80))
    assert (value < 1e-28).mean() > 0.99  # residuals of 1e-15
    np.testing.assert_allclose(theta[value.argmin()], TRUTH, rtol=1e-11)


@pytest.mark.parametrize(
    "form", [CHINCHILLA, KAPLAN, REPEATED, Broken(), Sigmoid(), parse_form("E + A/N^a + G/(N^g*D^h)")], ids=lambda f: f.name
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_wild_starts_end_somewhere_and_quietly(form):
    rng = np.random.default_rng(0)
    log_x = rng.uniform(16, 24, (len(form.variables), 20))
    y = rng.uniform(0.8, 1.2, 20) if form.link == "log" else rng.uniform(0.2, 0.9, 20)
    problem = problem_of(form, log_x, y)
    starts = rng.uniform(-1e3, 1e3, (150, form.size))
    theta, value = solve(problem, starts, np.ones(20))
    assert np.isfinite(theta).all() and not np.isnan(value).any() and (value >= 0).all()
    assert ((problem.low <= theta) & (theta <= problem.high)).all()
    before = problem.objective(np.clip(starts, problem.low, problem.high), np.ones(20))
    finite = np.isfinite(before)
    assert (value[finite] <= before[finite]).mean() > 0.95  # the way leads through wider losses, that may end elsewhere


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_the_units_of_losses_and_weights_do_not_matter(unit):
    problem = chinchilla()
    scaled = problem_of(CHINCHILLA, problem.log_x, problem.y + np.log(unit))
    expected = solve(problem, CHINCHILLA.starts(problem.log_x, problem.y)[::9], np.ones(80))[1].min()
    for weight in (1.0, 1e-12):
        _, value = solve(scaled, CHINCHILLA.starts(scaled.log_x, scaled.y)[::3], np.full(80, weight))
        assert value.min() / weight == pytest.approx(expected, rel=1e-10)
        assert (value <= value.min() * (1 + 1e-6)).mean() > 0.95


def test_starts_find_their_way_by_rows_with_weight():
    rows = 1000
    problem = chinchilla(rows)
    weights = np.zeros(rows)
    weights[:60] = 1.0
    starts = CHINCHILLA.starts(problem.log_x, problem.y)[::10]
    theta, value = solve(problem, starts, weights)
    few = problem.rows(slice(0, 60))
    alone, least = solve(few, starts, np.ones(60))
    assert value.min() == pytest.approx(least.min(), rel=1e-10)
    np.testing.assert_allclose(theta[value.argmin()], alone[least.argmin()], rtol=1e-6)


def test_a_hundred_thousand_rows_take_memory_of_their_own_size_only():
    rows = 100_000
    problem = chinchilla(rows, noise=0.01)
    starts = CHINCHILLA.starts(problem.log_x, problem.y)[::90]
    tracemalloc.start()
    theta, value = solve(problem, starts, np.ones(rows))
    refits, _ = solve(
        problem, theta[:2], lambda chosen: np.stack([counts(rows, 1, seed)[0] for seed in chosen]), stages=FROM_NEAR
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 8 * rows * len(solver.usable_cores())  # so many arrays of one number per row and thread
    np.testing.assert_allclose(theta[value.argmin()], TRUTH, rtol=0.01)
    np.testing.assert_allclose(refits, np.tile(theta[value.argmin()], (2, 1)), rtol=0.01)


@pytest.mark.parametrize("loss", [Huber(0.3), Cauchy(0.3), Squared()], ids=["huber", "cauchy", "squared"])
def test_losses_have_the_slopes_and_curvatures_of_their_values(loss):
    r = np.array([-2.0, -0.31, -0.29, -1e-4, 0.0, 0.1, 0.29, 0.5, 40.0])
    np.testing.assert_allclose(
        loss.slope(r), (loss.value(r + 1e-6) - loss.value(r - 1e-6)) / 2e-6, rtol=1e-7, atol=1e-9
    )
    np.testing.assert_allclose(
        loss.curvature(r), (loss.slope(r + 1e-6) - loss.slope(r - 1e-6)) / 2e-6, rtol=1e-6, atol=1e-9
    )
    assert loss.value(np.zeros(1)) == 0 and loss.curvature(np.zeros(1)) == 1
    wider = loss.at(10)
    np.testing.assert_allclose(wider.value(10 * r), 100 * loss.value(r), rtol=1e-12)  # the scale alone has changed


def test_unknown_losses_and_deltas_are_named():
    with pytest.raises(InputError, match="loss function is 'l1', expected one of huber, cauchy, squared"):
        make_loss("l1")
    for delta in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="expected a positive number"):
            make_loss("huber", delta)
    assert make_loss("huber", 0.1) == Huber(0.1) and make_loss("cauchy") == Cauchy(1e-2)
