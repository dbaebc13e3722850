"""Continuation rates of models that know their training windows or do not; intervals against published and exact ones."""

import json

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from laimbench.errors import InputError
from laimbench.responsible.memorisation import Rate, clopper_pearson, continuation_rates, difference_interval
from laimbench.responsible.probe import probe_memorisation
from tests.responsible.models import Noise, Parrot

NOISE = Noise()


def test_a_parrot_reproduces_its_training_windows_and_no_others():
    training, held_out = NOISE.train_windows(0, 0, 150, 12), NOISE.validation_windows(100, 12)
    found = continuation_rates(Parrot(training[:60], 50, 11), training, held_out, prefix=8, continuation=4)
    assert (found.training.reproduced, found.training.windows, found.held_out.reproduced) == (60, 150, 0)
    assert found.difference == pytest.approx(0.4) and found.difference_interval[0] > 0.3
    assert found.training.interval[0] < 0.4 < found.training.interval[1] and found.held_out.interval[0] == 0.0
    document = json.loads(json.dumps(found.to_dict()))
    assert document["training"]["share"] == pytest.approx(0.4) and document["prefix"] == 8


def test_one_wrong_token_is_not_a_reproduction():
    training = NOISE.train_windows(0, 0, 10, 12)
    shown = training.copy()
    shown[:5, -1] += 1
    found = continuation_rates(Parrot(shown, 60, 11), training, training, prefix=8, continuation=4)
    assert found.training.reproduced == 5


def test_the_probe_takes_the_runs_own_windows():
    seen = np.concatenate([NOISE.train_windows(3, step, 4, 17) for step in range(20)])
    model = Parrot(seen, 50, 16)
    settings = {"steps": 20, "batch_size": 4, "windows": 40, "prefix": 8, "continuation": 8}
    own = probe_memorisation(model, NOISE, seed=3, **settings)["memorisation"]
    assert (own["training"]["reproduced"], own["training"]["windows"], own["held_out"]["reproduced"]) == (40, 40, 0)
    other = probe_memorisation(model, NOISE, seed=4, **settings)["memorisation"]
    assert other["training"]["reproduced"] == 0


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 50), (1, 400)])
def test_clopper_pearson_is_scipys(k, n):
    exact = binomtest(k, n).proportion_ci(0.95, "exact")
    assert clopper_pearson(k, n) == pytest.approx((exact.low, exact.high))


def test_clopper_pearson_covers():
    n = 30
    inside = [clopper_pearson(k, n) for k in range(n + 1)]
    for p in (0.01, 0.1, 0.5, 0.93):
        coverage = sum(binom.pmf(k, n, p) for k, (low, high) in enumerate(inside) if low <= p <= high)
        assert coverage >= 0.95


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [((56, 70), (48, 80), (0.0524, 0.3339)), ((9, 10), (3, 10), (0.1705, 0.8090)), ((10, 10), (0, 20), (0.6791, 1.0))],
)
def test_newcombes_own_examples(first, second, expected):
    rates = [Rate(k, n, clopper_pearson(k, n)) for k, n in (first, second)]
    assert difference_interval(*rates) == pytest.approx(expected, abs=2e-4)


def test_wrong_input():
    windows = NOISE.train_windows(0, 0, 4, 12)
    model = Parrot(windows, 50, 11)
    with pytest.raises(InputError, match="seqlen"):
        continuation_rates(model, windows, windows, prefix=8, continuation=5)
    with pytest.raises(InputError, match="held-out windows"):
        continuation_rates(model, windows, windows[:0], prefix=8, continuation=4)
    with pytest.raises(InputError, match="1 or more"):
        continuation_rates(model, windows, windows, prefix=0, continuation=4)
    with pytest.raises(InputError, match="steps 0"):
        probe_memorisation(model, NOISE, seed=0, steps=0, batch_size=1)
    model.continue_greedily = lambda prefixes, count: prefixes
    with pytest.raises(InputError, match="continuations have shape"):
        continuation_rates(model, windows, windows, prefix=8, continuation=4)
