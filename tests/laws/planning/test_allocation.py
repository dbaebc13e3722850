"""The optimal split: closed form against search, published numbers, the way back from a loss, what has no answer."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from laimbench import laws
from laimbench.errors import InputError
from laimbench.laws.planning.allocation import (
    allocate,
    best_loss,
    closed_form,
    compute_for_loss,
    deviations,
    six_nd,
    tokens_for,
)
from laimbench.laws.planning.inference import lifetime_flops
from laimbench.laws.planning.law import KnownLaw, parse_law
from tests.laws.planning.planner import EPOCH, HOFFMANN, epoch, six_nd_by_another_name, with_draws

chinchillas = st.builds(
    lambda E, A, alpha, B, beta: KnownLaw(laws.CHINCHILLA, dict(E=E, A=A, alpha=alpha, B=B, beta=beta)),
    st.floats(0.0, 3.0), st.floats(10.0, 1e4), st.floats(0.15, 0.7), st.floats(10.0, 1e4), st.floats(0.15, 0.7),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(chinchillas, st.floats(18, 26))
def test_the_closed_form_is_the_optimum_that_search_finds(law, log_compute):
    compute = 10**log_compute
    assume(all(value[0] > 100 for value in closed_form(law.params, np.array([compute]))[:2]))
    closed = allocate(law, compute)
    searched = allocate(law, compute, flops=six_nd_by_another_name)
    assert (closed.method, searched.method) == ("closed form", "search")
    # the loss is flat at its optimum: half of its digits locate it
    assert searched.params.value == pytest.approx(closed.params.value, rel=1e-4)
    assert searched.loss.value == pytest.approx(closed.loss.value, rel=1e-12)
    assert six_nd(closed.params.value, closed.tokens.value) == pytest.approx(compute, rel=1e-9)
    alpha, beta = law.params["alpha"], law.params["beta"]
    assert closed.a.value == pytest.approx(beta / (alpha + beta)) and closed.b.value == pytest.approx(
        alpha / (alpha + beta)
    )
    for factor in (0.99, 1.01):
        size = closed.params.value * factor
        assert law.predict(size, compute / (6 * size))[0] >= closed.loss.value


@settings(max_examples=40, deadline=None)
@given(chinchillas, st.floats(18, 26))
def test_from_compute_to_loss_and_back(law, log_compute):
    compute = 10**log_compute
    back = compute_for_loss(law, best_loss(law, compute))
    # of the loss only what is above E tells of compute
    digits = (best_loss(law, compute) - law.params["E"]) / best_loss(law, compute)
    assert back.reachable and back.compute.value == pytest.approx(compute, rel=1e-13 / digits + 1e-9)


def test_back_by_search():
    law, compute = epoch(), 3e21
    found = compute_for_loss(law, best_loss(law, compute), flops=six_nd_by_another_name)
    assert found.compute.value == pytest.approx(compute, rel=1e-8)


def test_published_numbers():
    # Hoffmann et al. 2022, figure 4: approach 3 puts the optimum of Gopher's 5.76e23 FLOPs at 40B parameters
    gopher = allocate(parse_law(HOFFMANN), 5.76e23)
    assert gopher.params.value == pytest.approx(40e9, rel=0.02)
    # table 2: a = 0.46, b = 0.54
    assert gopher.a.value == pytest.approx(0.46, abs=0.005) and gopher.b.value == pytest.approx(0.54, abs=0.005)
    # Besiroglu et al. 2024: about 20 tokens per parameter where Chinchilla stands, a = 0.512
    chinchilla = allocate(epoch(), 5.88e23)
    assert 17 < chinchilla.tokens_per_param.value < 22 and chinchilla.a.value == pytest.approx(0.512, abs=0.001)


@dataclass
class KaplanLaw:
    """L = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D, Kaplan et al. 2020, eq. 1.5: its optimum can be written down."""

    form = type("Form", (), {"name": "test kaplan", "equation": "", "variables": ("tokens", "params")})
    params: dict = field(default_factory=dict)
    sample_params: dict = field(default_factory=dict)
    warnings: tuple = ()
    domain: None = None
    n_c, d_c, alpha_n, alpha_d = 6.4e13, 1.8e13, 0.076, 0.103

    def predict(self, tokens, params):
        tokens, params = np.atleast_1d(tokens), np.atleast_1d(params)
        return ((self.n_c / params) ** (self.alpha_n / self.alpha_d) + self.d_c / tokens) ** self.alpha_d

    def draws(self, tokens, params):
        return np.stack([self.predict(tokens, np.asarray(params) * k) for k in np.linspace(0.8, 1.25, 41)])


def test_any_law_in_params_and_tokens_goes_by_search():
    law, compute = KaplanLaw(), 1e21
    r = law.alpha_n / law.alpha_d
    expected = (r * law.n_c**r * compute / (6 * law.d_c)) ** (1 / (r + 1))
    found = allocate(law, compute)
    assert found.params.value == pytest.approx(expected, rel=1e-5)
    assert found.a.value == pytest.approx(1 / (1 + r), abs=1e-5)
    # with params seen as k N the optimum is k^(-r / (1 + r)) times as large; of 41 draws the interval leaves one at each end
    ends = np.linspace(0.8, 1.25, 41)[[-2, 1]] ** (-r / (1 + r))
    assert (found.params.low, found.params.high) == pytest.approx(tuple(expected * ends), rel=1e-3)


def test_intervals_contain_the_point_and_both_ways_agree():
    law = with_draws()
    closed, searched = allocate(law, 1e22), allocate(law, 1e22, flops=six_nd_by_another_name)
    for name in ("params", "tokens", "tokens_per_param", "loss", "a", "b"):
        one, two = getattr(closed, name), getattr(searched, name)
        assert one.low < one.value < one.high
        assert (two.low, two.high) == pytest.approx((one.low, one.high), rel=2e-3)
    wanted = best_loss(law, 1e22)
    one, two = (compute_for_loss(law, wanted, flops=f).compute for f in (six_nd, six_nd_by_another_name))
    assert one.low < one.value < one.high
    assert (two.low, two.high) == pytest.approx((one.low, one.high), rel=1e-2)


def test_the_cost_of_being_off_by_two():
    law = with_draws()
    best = allocate(law, 1e22)
    half, same, double = deviations(law, best, (0.5, 1.0, 2.0))
    assert same.extra_loss.value == pytest.approx(0, abs=1e-12) and same.equivalent_compute.value == pytest.approx(1)
    for row in (half, double):
        assert row.params * row.tokens * 6 == pytest.approx(1e22)
        assert row.extra_loss.value > 0.001 and 0.5 < row.equivalent_compute.value < 1
        assert best_loss(law, row.equivalent_compute.value * 1e22) == pytest.approx(row.loss.value, rel=1e-9)
        assert row.equivalent_compute.low < row.equivalent_compute.value < row.equivalent_compute.high <= 1
    # in the draws the optimum is elsewhere: even N* costs something
    assert same.extra_loss.high > 0
    for one, two in zip(deviations(law, best, (0.5, 2.0), flops=six_nd_by_another_name), (half, double), strict=True):
        assert two.equivalent_compute.low == pytest.approx(one.equivalent_compute.low, rel=5e-3)


def test_a_loss_below_the_floor_is_an_answer():
    found = compute_for_loss(with_draws(), 1.70)
    assert not found.reachable and found.compute.value == math.inf
    assert found.floor.value == 1.8172 and found.floor.low < 1.8172 < found.floor.high
    assert found.to_dict()["compute"]["value"] is None and found.to_dict()["reachable"] is False
    searched = compute_for_loss(with_draws(), 1.70, flops=six_nd_by_another_name)
    assert not searched.reachable
    # just above the floor: reachable, but not in the draws whose floor is higher
    near = compute_for_loss(with_draws(), 1.83)
    assert near.reachable and 0 < near.compute.unbounded < 1 and near.compute.high == math.inf


def test_a_law_in_compute_alone():
    law = parse_law("E=1.5,a=100,b=0.1", "power")
    assert best_loss(law, 1e20) == pytest.approx(1.5 + 100 * 1e20**-0.1)
    assert compute_for_loss(law, 1.5 + 100 * 1e20**-0.1).compute.value == pytest.approx(1e20, rel=1e-8)
    with pytest.raises(InputError, match="does not say how to split"):
        allocate(law, 1e20)


def test_a_budget_of_training_and_serving_together():
    served, compute = 1e12, 1e22
    cost = lifetime_flops(served)
    found = allocate(epoch(), compute, flops=cost)
    assert cost(found.params.value, found.tokens.value) == pytest.approx(compute, rel=1e-9)
    assert found.params.value < allocate(epoch(), compute).params.value
    for factor in (0.98, 1.02):
        size = found.params.value * factor
        assert epoch().predict(size, tokens_for(size, compute, cost))[0] > found.loss.value


@pytest.mark.parametrize(
    ("law", "compute", "word"),
    [(EPOCH, 0.0, "positive"), (EPOCH, float("nan"), "positive"), (EPOCH, float("inf"), "positive"), (EPOCH, 10.0, "at least one"),
     (EPOCH.replace("alpha=0.3478", "alpha=0"), 1e20, "alpha is 0"), (EPOCH.replace("B=2085.43", "B=0"), 1e20, "B is 0")],
)  # fmt: skip
def test_what_has_no_optimum_is_said_in_one_line(law, compute, word):
    with pytest.raises(InputError, match=word) as caught:
        allocate(parse_law(law), compute)
    assert "\n" not in str(caught.value)


def test_an_exponent_towards_zero_moves_the_optimum_to_the_edge():
    nearly = parse_law(EPOCH.replace("alpha=0.3478", "alpha=1e-9"))
    with pytest.raises(InputError, match="at least one"):
        allocate(nearly, 1e20)
    with pytest.raises(InputError, match="at the edge"):
        allocate(nearly, 1e20, flops=six_nd_by_another_name)
