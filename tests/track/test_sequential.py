import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from laimbench.track.sequential import MIXTURE, confidence_sequence, decide

ALPHA = 0.05


def log_evidence(values, mean):
    """log of the mixture's likelihood over the null's, both integrated over the standard deviation, by numerical integration."""
    n, ss = len(values), float(np.sum((values - mean) ** 2))
    total = float(np.sum(values - mean))

    def marginal(effect):  # integral over s of s^-(n+1) exp(-(ss - 2 e s total + n e^2 s^2) / (2 s^2))
        inner = lambda u: u ** (n - 1) * math.exp(-0.5 * (ss * u * u - 2 * effect * total * u + n * effect**2))  # noqa: E731
        return quad(inner, 0, 60 / math.sqrt(ss), limit=400)[0]

    mixed = quad(lambda e: norm.pdf(e, scale=MIXTURE) * marginal(e), -8 * MIXTURE, 8 * MIXTURE, limit=400)[0]
    return math.log(mixed / marginal(0.0))


@pytest.mark.parametrize("n", [5, 9])
def test_the_interval_ends_where_the_evidence_reaches_one_over_alpha(n):
    values = np.random.default_rng(n).normal(1.0, 2.0, n)
    low, high = confidence_sequence(values, ALPHA)
    for end in (low, high):
        assert log_evidence(values, end) == pytest.approx(math.log(1 / ALPHA), rel=1e-4)
    assert log_evidence(values, values.mean()) < 0


def test_it_covers_the_mean_at_all_times_at_once():
    rng = np.random.default_rng(0)
    ever_missed = 0
    for _ in range(400):
        values = rng.normal(0.3, 1.0, 60)
        intervals = [confidence_sequence(values[:n], ALPHA) for n in range(2, 61)]
        ever_missed += any(not low <= 0.3 <= high for low, high in intervals)
    assert ever_missed / 400 <= ALPHA
    assert ever_missed > 0  # it is not vacuous


def word_when_decided(rng, mean, deviation, limit=200):
    values = []
    for _ in range(limit):
        values.append(rng.normal(mean, deviation))
        found = decide(values, 0.02, 0.01)
        if found.word:
            return found.word
    return ""


@pytest.mark.parametrize(("mean", "word"), [(0.0, "same"), (0.02, "more"), (-0.02, "less"), (0.1, "more")])
def test_it_decides_rightly_and_always(mean, word):
    rng = np.random.default_rng(1)
    words = [word_when_decided(rng, mean, 0.01) for _ in range(100)]
    assert words.count(word) >= 90
    if mean == 0.0:
        assert words.count(word) >= 99  # false alarms are rarer than alpha


def test_equal_observations_decide_at_once():
    assert decide([0.0] * 3, 0.02, 0.01).word == "same"
    assert decide([0.05] * 3, 0.02, 0.01).word == "more"


def test_two_observations_decide_nothing():
    found = decide([0.5, 0.5], 0.02, 0.01)
    assert (found.word, found.observations) == ("", 2)
    assert decide([], 0.02, 0.01).interval == (-math.inf, math.inf)
