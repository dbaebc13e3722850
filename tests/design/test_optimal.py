"""Designs against what is known by formula, and against all designs there are."""

from itertools import product

import numpy as np
import pytest

from laimbench.design.optimal import Candidates, Noise, whole_runs
from laimbench.errors import InputError

ALONE = Noise(within=1.0, between=0.0)


def line(points, wanted, costs=None, noise=ALONE, done=None):
    """Candidates for a straight line a + b x at these points."""
    points = np.asarray(points, float)
    return Candidates(
        np.stack([np.ones_like(points), points], axis=-1)[None], np.array([wanted], float),
        np.ones(len(points)) if costs is None else np.asarray(costs, float), noise,
        np.zeros(len(points), int) if done is None else np.asarray(done),
    )  # fmt: skip


def test_a_line_is_extrapolated_from_its_ends():
    """Hoel & Levine 1964: to extrapolate to x0 from [-1, 1], (x0 - 1) / 2 x0 of the runs at -1 and the rest at 1; variance x0^2 / n."""
    candidates = line(np.linspace(-1, 1, 21), [1, 2])
    counts = whole_runs(candidates, 100, most_seeds=1000)
    assert counts[[0, -1]].tolist() == [25, 75] and counts.sum() == 100
    assert candidates.variances(counts)[0] == pytest.approx(4 / 100, rel=1e-6)


def test_dear_runs_are_taken_by_the_root_of_their_cost():
    """Of a slope's variance (1 / n1 + 1 / n2) / 4 for c1 n1 + c2 n2, the least is where n1 / n2 is the root of c2 / c1."""
    counts = whole_runs(line([-1, 1], [0, 1], costs=[1, 4]), 60, most_seeds=1000)
    assert counts.tolist() == [20, 10]


def test_what_was_done_is_gone_on_from():
    counts = whole_runs(line(np.linspace(-1, 1, 21), [1, 2], done=[25] + 20 * [0]), 75, most_seeds=1000)
    assert counts[-1] == counts.sum() == 75


def test_no_design_of_a_small_problem_is_much_better():
    generator = np.random.default_rng(0)
    for _ in range(5):
        gradients, costs = generator.normal(size=(2, 6, 3)), generator.uniform(1, 3, 6)
        candidates = Candidates(gradients, generator.normal(size=(2, 3)), costs, Noise(0.5, 0.5), np.zeros(6, int))
        all_counts = [c for c in product(range(4), repeat=6) if np.dot(c, costs) <= 9]
        best = min(candidates.criterion(np.array(c)) for c in all_counts)
        counts = whole_runs(candidates, 9, most_seeds=3)
        assert counts @ costs <= 9 and counts.max() <= 3
        assert candidates.criterion(counts) < best + 0.1  # 5 % of the interval's width


def test_gains_are_those_of_doing_it():
    generator = np.random.default_rng(1)
    candidates = Candidates(
        generator.normal(size=(3, 8, 4)), generator.normal(size=(3, 4)), np.ones(8), Noise(0.3, 0.2), np.zeros(8, int)
    )
    counts = generator.integers(1, 4, 8)
    weights = candidates.noise.precision(counts + 1) - candidates.noise.precision(counts)
    gains = candidates.gains(candidates.inverse(counts), weights)
    for run in range(8):
        more = counts + np.eye(8, dtype=int)[run]
        assert gains[run] == pytest.approx(candidates.criterion(counts) - candidates.criterion(more), rel=1e-5)


def test_seeds_that_share_an_error_are_worth_less_than_other_configurations():
    points = np.linspace(-1, 1, 21)
    alone, shared = (
        whole_runs(line(points, [1, 2], noise=noise), 40, most_seeds=1000) for noise in (ALONE, Noise(1.0, 1.0))
    )
    assert np.count_nonzero(alone) == 2 and np.count_nonzero(shared) > 6


def test_what_cannot_be_run_is_not():
    counts = whole_runs(line([-1, 0, 1], [0, 1], costs=[1, 1, np.inf]), 10, most_seeds=100)
    assert counts[2] == 0 and counts.sum() == 10


def test_wrong_input_is_named():
    with pytest.raises(InputError, match="costs"):
        line([0, 1], [0, 1], costs=[1, 0])
    with pytest.raises(InputError, match="done has shape"):
        line([0, 1], [0, 1], done=[1])
    with pytest.raises(InputError, match="noise"):
        Noise(-1.0, 0.0)
