"""Repeated data: the authors' own numbers, limits, the law's own repetition."""

import math

import numpy as np
import pytest

from laimbench.errors import InputError
from laimbench.laws.planning.allocation import allocate
from laimbench.laws.planning.data_limits import DataLimitedLaw, data_limits, effective, epochs_until, worth
from laimbench.laws.planning.law import parse_law
from tests.laws.planning.planner import epoch, with_draws

C4 = (
    f"E={math.exp(0.6254804)},A={math.exp(6.255414)},alpha=0.3526596,B={math.exp(7.3049974)},beta=0.3526596"
    # Muennighoff et al. 2023, README of huggingface/datablations, "Parametric Fit"
)


def test_the_authors_own_values():
    """The losses that their README prints for the two models of figure 1, and their optimum: 6.8B on 227B, 9.1 epochs."""
    law = DataLimitedLaw(parse_law(C4), 25e9)
    losses = law.predict([6.34e9, 8.67e9], [242e9, 178e9])
    np.testing.assert_allclose(losses, [2.2256440889984477, 2.2269634075087867], rtol=1e-12)
    best = allocate(law, 6 * 8.67e9 * 178e9)
    assert best.params.value == pytest.approx(6.8e9, rel=0.005)
    assert best.tokens.value == pytest.approx(227e9, rel=0.005)
    assert best.tokens.value / 25e9 == pytest.approx(9.1, abs=0.05)


def test_tokens_are_worth_less_each_time_and_never_more_than_their_limit():
    assert effective(25e9, 25e9, 15.4) == 25e9 and effective(10e9, 25e9, 15.4) == 10e9
    passes = np.arange(1, 200, dtype=float)
    values = effective(passes, 1.0, 15.387756)
    assert (np.diff(values) > 0).all() and (np.diff(values, 2) < 0).all() and values[-1] < 16.387756
    assert worth(1) == 1 and worth(epochs_until(0.5)) == pytest.approx(0.5)
    # the paper: up to 4 epochs as good as new within a few percent
    assert effective(4.0, 1.0, 15.387756) / 4 > 0.93


def test_data_enough_change_nothing():
    unlimited = allocate(epoch(), 1e21)
    found = data_limits(epoch(), unlimited, 1e13)
    assert found.extra_loss.value == pytest.approx(0, abs=1e-9) and found.equivalent_compute == pytest.approx(
        1, abs=1e-6
    )
    assert found.best.params.value == pytest.approx(unlimited.params.value, rel=1e-4) and found.epochs.value < 1


def test_data_too_few_cost():
    law = with_draws()
    unlimited = allocate(law, 1e22)
    found = data_limits(law, unlimited, unlimited.tokens.value / 20)
    assert found.best.params.value < unlimited.params.value and found.epochs.value > 20
    assert found.extra_loss.low < found.extra_loss.value < found.extra_loss.high
    assert found.equivalent_compute < 0.5 and found.next_token_worth < 0.3
    assert found.half_worth_epochs == pytest.approx(1 + 15.387756 * math.log(2))
    losses = [row["loss"] for row in found.table]
    assert losses == sorted(losses, reverse=True)


def test_a_law_with_its_own_repetition_is_asked_with_it():
    class Own:
        form = type("Form", (), {"name": "own", "equation": "", "variables": ("params", "tokens", "unique_tokens")})
        params, sample_params, warnings, domain = {}, {}, [], None

        def predict(self, params, tokens, unique):
            return np.atleast_1d(1.5 + 400 / params**0.34 + 2000 / np.sqrt(tokens * unique) ** 0.36)

        def draws(self, *columns):
            return np.empty((0, len(np.atleast_1d(columns[0]))))

        def to_dict(self):
            return {}

    law = DataLimitedLaw(Own(), 1e9)
    assert law.predict(1e8, 4e9)[0] == pytest.approx(1.5 + 400 / 1e8**0.34 + 2000 / 2e9**0.36)
    found = data_limits(Own(), allocate(Own(), 1e21), 1e9)
    assert found.half_worth_epochs is None and "worth" not in found.table[0] and found.extra_loss.value > 0


@pytest.mark.parametrize("unique", [0.0, -1.0, float("nan")])
def test_wrong_data_are_named(unique):
    with pytest.raises(InputError, match="unique tokens"):
        DataLimitedLaw(epoch(), unique)
