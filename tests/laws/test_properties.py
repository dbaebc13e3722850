"""What must hold of every fit: derivatives, units, order, weights, scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laimbench import laws
from laimbench.laws.forms import Broken, Kaplan, Repeated, Sigmoid, parse_form, power_law

FORMS = [laws.CHINCHILLA, power_law(), Kaplan(), Repeated(), Broken(), Sigmoid("flops"), Sigmoid("params", "tokens"),
         parse_form("E + A/N^a + B/D^b + G/(N^g*D^h)"), parse_form("A*N^-0.3*D^-b"), parse_form("E + A/N^a + B/D^a")]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.equation[:40])
def test_gradient_and_hessian_are_those_of_the_value(form):
    rng = np.random.default_rng(0)
    log_x = rng.uniform(16, 24, (len(form.variables), 30))
    y = rng.uniform(0.8, 1.2, 30) if form.link == "log" else rng.uniform(0.2, 0.9, 30)
    starts, (low, high) = form.starts(log_x, y), form.box()
    theta = np.clip(
        starts[rng.choice(len(starts), 4)] + rng.normal(0, 0.05, (4, form.size)), np.maximum(low, -1e3) + 1e-3, high
    )
    design = form.design(log_x)
    value, state = form.evaluate(theta, design)
    slope, curvature = rng.uniform(size=value.shape), rng.uniform(size=value.shape)
    jacobian, hessian = form.jacobian(state), form.derivatives(state, slope, curvature)[1]
    for i in range(form.size):
        step = np.zeros(form.size)
        step[i] = 1e-5
        ends = [form.evaluate(theta + sign * step, design) for sign in (1, -1)]
        first = (ends[0][0] - ends[1][0]) / 2e-5
        gradients = [form.derivatives(s, slope + curvature * (v - value), curvature)[0] for v, s in ends]
        second = (gradients[0] - gradients[1]) / 2e-5
        np.testing.assert_allclose(first, jacobian[i], rtol=1e-4, atol=1e-5 * (1 + np.abs(jacobian[i]).max()))
        np.testing.assert_allclose(second, hessian[i], rtol=1e-3, atol=1e-4 * (1 + np.abs(hessian[i]).max()))


def runs(seed, rows=24):
    rng = np.random.default_rng(seed)
    params, tokens = 10 ** rng.uniform(6, 10, rows), 10 ** rng.uniform(8, 11, rows)
    loss = (1.7 + 400 / params**0.34 + 900 / tokens**0.31) * np.exp(rng.normal(0, 0.003, rows))
    return params, tokens, loss


def fit(params, tokens, loss, **options):
    return laws.fit_chinchilla(params, tokens, loss, bootstrap=0, **options)


# Few examples: each is two fits from 720 starts.
few = settings(max_examples=5, deadline=None)


@few
@given(seed=st.integers(0, 50), n_power=st.integers(-9, 9), d_power=st.integers(-9, 9))
def test_units_move_coefficients_only(seed, n_power, d_power):
    params, tokens, loss = runs(seed)
    here, there = fit(params, tokens, loss), fit(params * 10.0**n_power, tokens * 10.0**d_power, loss)
    assert there.objective == pytest.approx(here.objective, rel=1e-7)
    for name in ("E", "alpha", "beta"):
        assert there.params[name] == pytest.approx(here.params[name], rel=1e-3)
    assert there.params["A"] == pytest.approx(here.params["A"] * 10.0 ** (n_power * here.params["alpha"]), rel=0.02)


@few
@given(seed=st.integers(0, 50), order=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(seed, order):
    params, tokens, loss = runs(seed)
    rows = list(range(len(loss)))
    order.shuffle(rows)
    here, there = fit(params, tokens, loss), fit(params[rows], tokens[rows], loss[rows])
    assert there.objective == pytest.approx(here.objective, rel=1e-9)


@few
@given(
    seed=st.integers(0, 50),
    weights=st.lists(st.integers(0, 3), min_size=24, max_size=24).filter(lambda w: sum(map(bool, w)) > 12),
)
def test_repeated_rows_are_weights(seed, weights):
    columns = runs(seed)
    weighted = fit(*columns, weights=weights)
    repeated = fit(*(np.repeat(column, weights) for column in columns))
    assert weighted.objective == pytest.approx(repeated.objective, rel=1e-7)


@few
@given(seed=st.integers(0, 50), factor=st.floats(0.01, 100))
def test_a_scaled_loss_scales_the_coefficients(seed, factor):
    params, tokens, loss = runs(seed)
    here, there = fit(params, tokens, loss), fit(params, tokens, loss * factor)
    assert there.objective == pytest.approx(here.objective, rel=1e-7)
    for name, scale in {"E": factor, "alpha": 1.0, "beta": 1.0}.items():
        assert there.params[name] == pytest.approx(here.params[name] * scale, rel=1e-3)


@pytest.mark.parametrize(
    ("columns", "word"),
    [((np.full(12, 1e8), np.geomspace(1e8, 1e10, 12), np.linspace(4, 3, 12)), "params takes 1 value"),
     ((np.geomspace(1e7, 1e9, 12), 1e18 / np.geomspace(1e7, 1e9, 12), np.linspace(4, 3, 12) ** 1.01), "vary together"),
     (tuple(c[:5] for c in runs(0)), "no interval can be given"), ((*runs(0)[:2], np.full(24, 3.0)), "all losses are equal")],
    ids=["one size", "one budget", "five rows", "equal losses"],
)  # fmt: skip
def test_what_identifies_nothing_gets_no_confident_answer(columns, word):
    found = laws.fit_chinchilla(*columns, bootstrap=40)
    assert any(word in warning for warning in found.warnings), found.warnings
