"""Intervals: how often they cover, SciPy's and the laws' on the same data, and what depends on what."""

import numpy as np
import pytest
import scipy.stats

from laimbench.errors import InputError
from laimbench.laws.intervals import bca_interval
from laimbench.metrics.bootstrap import _corrected, interval, ratio_interval
from laimbench.metrics.classification import confusion_matrix, scores


def ends(found):
    return np.array([found.lower, found.upper])


def documents(seed, count=40):
    """Return losses, bytes and documents of windows. A document has its own level and 1 to 12 windows; the true ratio is 1."""
    rng = np.random.default_rng(seed)
    document = np.repeat(np.arange(count), rng.integers(1, 13, count))
    level = rng.lognormal(-0.125, 0.5, count)[document]
    byte_counts = rng.uniform(50, 150, len(document))
    return level * byte_counts * rng.lognormal(-0.02, 0.2, len(document)), byte_counts, document


@pytest.mark.parametrize("kind", ["bca", "percentile"])
def test_intervals_cover_nearly_as_often_as_they_say_when_clusters_are_drawn_and_far_less_when_windows_are(kind):
    """At 40 clusters 0.90 to 0.91 of 1,000 tables (docs/metrics.md); windows by themselves 0.50."""
    tables, covered, naive = 300, 0, 0
    for seed in range(tables):
        losses, byte_counts, document = documents(seed)
        found = ratio_interval(losses, byte_counts, document, kind=kind, samples=400, seed=seed)
        covered += found.lower <= 1 <= found.upper
        found = ratio_interval(losses, byte_counts, kind=kind, samples=400, seed=seed)
        naive += found.lower <= 1 <= found.upper
    assert 0.87 <= covered / tables <= 0.97 and naive / tables < 0.65, (covered, naive)


def test_macro_f1_is_covered():
    """The truth: the score of a confusion that is known, of a large population."""
    rng, tables = np.random.default_rng(0), 60
    truth = np.array([[50, 8, 2], [5, 20, 5], [1, 2, 7]]) / 100
    expected, covered = scores(truth).macro_f1, 0
    for seed in range(tables):
        cells = rng.choice(9, 120, p=truth.ravel())

        def macro_f1(weights, target=cells // 3, predicted=cells % 3):
            return scores(confusion_matrix(target, predicted, 3, weights)).macro_f1

        found = interval(macro_f1, 120, samples=150, seed=seed)
        covered += found.lower <= expected <= found.upper
    assert 0.85 <= covered / tables <= 0.995, covered


@pytest.mark.parametrize("kind", ["bca", "percentile"])
def test_the_interval_is_scipys(kind):
    values = np.random.default_rng(1).gamma(0.7, size=60)
    other = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method=kind, rng=2).confidence_interval
    found = ratio_interval(values, 1, kind=kind, samples=20_000)
    assert found.estimate == pytest.approx(values.mean())
    assert ends(found) == pytest.approx([other.low, other.high], abs=0.04 * (other.high - other.low))


def test_bca_tails_are_those_of_the_laws():
    rng = np.random.default_rng(3)
    drawn, left_out = rng.gamma(3, size=5000), rng.gamma(1, size=50)
    lower, upper = np.quantile(drawn, _corrected((0.025, 0.975), 2.5, drawn, left_out))
    other = bca_interval(2.5, drawn, left_out)
    assert [lower, upper] == pytest.approx([float(end) for end in other], rel=0.02)


@pytest.mark.parametrize("kind", ["bca", "percentile"])
def test_a_ratio_by_sums_and_by_weights_is_one_interval(kind):
    losses, byte_counts, document = documents(5)
    by_sums = ratio_interval(losses, byte_counts, document, kind=kind, samples=300, seed=7)
    by_weights = interval(
        lambda w: (w * losses).sum() / (w * byte_counts).sum(), len(losses), document, kind=kind, samples=300, seed=7
    )
    assert ends(by_sums) == pytest.approx(ends(by_weights)) and by_sums.estimate == pytest.approx(by_weights.estimate)
    assert by_sums.clusters == by_weights.clusters == 40


def test_many_clusters_are_left_out_in_groups_and_drawn_in_parts(monkeypatch):
    values = np.random.default_rng(4).exponential(size=1000)
    whole = ratio_interval(values, 1, samples=500)
    grouped = interval(lambda w: (w * values).sum() / w.sum(), 1000, samples=500)
    assert ends(grouped) == pytest.approx(ends(whole), rel=5e-3)
    monkeypatch.setattr("laimbench.metrics.bootstrap.DRAWN_TOGETHER", 3000)
    assert ratio_interval(values, 1, samples=500) == whole


def test_the_difference_of_two_models_on_the_same_windows_is_sharper_than_its_parts():
    losses, byte_counts, document = documents(6)
    better = losses * np.random.default_rng(0).normal(0.97, 0.01, len(losses))
    difference = ratio_interval(losses - better, byte_counts, document)
    assert difference.lower > 0  # better beyond doubt, though the two intervals overlap:
    assert ratio_interval(better, byte_counts, document).upper > ratio_interval(losses, byte_counts, document).lower


def test_level_seed_and_labels():
    losses, byte_counts, document = documents(8)
    found = ratio_interval(losses, byte_counts, document, samples=300)
    assert found == ratio_interval(losses, byte_counts, [f"document {d:02}" for d in document], samples=300)
    assert found != ratio_interval(losses, byte_counts, document, samples=300, seed=1)
    wide = ratio_interval(losses, byte_counts, document, samples=300, level=0.99)
    assert wide.lower < found.lower < found.estimate < found.upper < wide.upper


def test_what_cannot_vary_has_an_interval_of_no_width():
    assert ends(ratio_interval(np.ones(30), 1, samples=50)).tolist() == [1, 1]


def test_samples_without_a_value_are_left_out_until_most_are():
    """Only 1 row in 30 has a denominator, then 3: a sample has none of them with probability 0.36, then 0.05."""
    values, below = np.ones(30), np.zeros(30)
    below[:3] = [1, 2, 4]
    found = ratio_interval(values * below, below, samples=300)
    assert ends(found).tolist() == [1, 1]
    with pytest.raises(InputError, match="samples"):
        interval(lambda w: 1.0 if w.all() else np.nan, 30, samples=50)


@pytest.mark.parametrize(
    ("call", "word"),
    [(lambda: ratio_interval([1.0], 1), "1 clusters"), (lambda: ratio_interval([1, 2], [1, 2, 3]), "denominators"),
     (lambda: ratio_interval([1, 2], 1, [0, 0]), "1 clusters"), (lambda: ratio_interval([1, 2], 1, [0]), "clusters has shape"),
     (lambda: ratio_interval([1, np.nan], 1), "NaN"), (lambda: ratio_interval([1, 2], [1, -1]), "negative"),
     (lambda: ratio_interval([1, 2], [1, 0]), "one cluster"), (lambda: ratio_interval([[1, 2]], 1), "numerators"),
     (lambda: ratio_interval([1, 2], 1, kind="t"), "bca"), (lambda: ratio_interval([1, 2], 1, level=1), "level"),
     (lambda: ratio_interval([1, 2], 1, samples=0), "samples"), (lambda: interval(lambda w: np.nan, 3), "statistic")],
)  # fmt: skip
def test_wrong_input_is_named(call, word):
    with pytest.raises(InputError, match=word):
        call()
