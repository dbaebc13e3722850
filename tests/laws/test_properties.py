"""What must hold of every fit: units, order, weights, scale, rows without weight."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laimbench import laws


def runs(seed, rows=24):
    rng = np.random.default_rng(seed)
    params, tokens = 10 ** rng.uniform(6, 10, rows), 10 ** rng.uniform(8, 11, rows)
    loss = (1.7 + 400 / params**0.34 + 900 / tokens**0.31) * np.exp(rng.normal(0, 0.003, rows))
    return params, tokens, loss


def fit(params, tokens, loss, **options):
    starts = laws.CHINCHILLA.starts(np.log([params, tokens]), np.log(loss))[::8]
    return laws.fit_chinchilla(params, tokens, loss, starts=starts, **{"bootstrap": 0} | options)


# Few examples: each is two fits from 90 starts.
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
@given(seed=st.integers(0, 50), factor=st.floats(1e-6, 1e6))
def test_a_scaled_loss_scales_the_coefficients(seed, factor):
    params, tokens, loss = runs(seed)
    here, there = fit(params, tokens, loss), fit(params, tokens, loss * factor)
    assert there.objective == pytest.approx(here.objective, rel=1e-7)
    for name, scale in {"E": factor, "alpha": 1.0, "beta": 1.0}.items():
        assert there.params[name] == pytest.approx(here.params[name] * scale, rel=1e-3)


@few
@given(seed=st.integers(0, 50), rows=st.sets(st.integers(0, 23), min_size=1, max_size=6))
def test_a_row_without_weight_is_as_if_it_were_not_there(seed, rows):
    columns, rows = runs(seed), sorted(rows)
    weights = np.ones(24)
    weights[rows] = 0
    options = {"bootstrap": 30, "loss_function": "squared"}
    here = fit(*columns, weights=weights, **options)
    there = fit(*(np.delete(column, rows) for column in columns), **options)
    assert there.objective == pytest.approx(here.objective, rel=1e-9)
    assert there.intervals.keys() == here.intervals.keys() and there.effective_runs == here.effective_runs
    for name, ends in here.intervals.items():
        assert there.intervals[name] == pytest.approx(ends, rel=1e-3), name
        assert ends[0] <= here.params[name] <= ends[1]
