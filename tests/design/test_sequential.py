"""Sweeps of known laws: the budget is kept, failures are not run into twice, and what is found is what was planted."""

import numpy as np
import pytest

from laimbench.design import Designer, Noise, Result, Space, Speedup, exponent, run_sequentially
from laimbench.design.costs import StepCost, Timing, fit_costs
from laimbench.design.prior import NOISE, plausible_laws
from laimbench.design.sequential import candidate_tokens, part_of
from laimbench.design.simulated import SimulatedLab
from laimbench.errors import InputError

BUDGET = 1e15


@pytest.fixture(scope="module")
def space():
    pairs = [(n, d) for n in np.geomspace(6e4, 8e6, 7)
             for d in candidate_tokens(lambda tokens, n=n: 6 * n * tokens, BUDGET, max(n, 1e5), 500 * n)]  # fmt: skip
    params, tokens = np.array(pairs).T
    return Space(params, tokens, 6 * params * tokens)


class UnsteadyLab(SimulatedLab):
    """Runs cost other than expected, up to a half more, and another each time."""

    def train(self, runs):
        for run in runs:
            before = self._spent
            super().train([run])
            self._spent = before + (self._spent - before) * self.factor * self.generator.uniform(0.8, 1.25)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.5])
def test_a_budget_is_kept_though_costs_are_not_as_expected(space, factor):
    lab = UnsteadyLab(plausible_laws(*space.logs)[0], space, NOISE, np.random.default_rng(3))
    lab.factor = factor
    designer = Designer(space, exponent(), BUDGET)
    plans = []
    run_sequentially(designer, lab, lambda plan, spent: plans.append(plan))
    assert 0.9 * BUDGET <= lab.spent() <= 1.1 * BUDGET
    runs = [(r.candidate, r.seed) for r in lab.results()]
    assert len(set(runs)) == len(runs) and len(plans) > 3
    assert designer.fit is not None and len(designer.laws) == 9 and plans[-1].laws is not plans[0].laws
    value, low, high = designer.interval()
    assert low < value < high and (high - low) / 2 < 3 * plans[0].half_width


def test_what_was_trained_before_is_not_trained_again(space):
    lab = SimulatedLab(plausible_laws(*space.logs)[0], space, NOISE, np.random.default_rng(0))
    run_sequentially(Designer(space, exponent(), BUDGET), lab)
    runs = len(lab.results())
    run_sequentially(Designer(space, exponent(), BUDGET), lab)
    assert len(lab.results()) == runs


class FailingLab(SimulatedLab):
    """Every run of some tokens fails."""

    def train(self, runs):
        super().train(runs)
        for i, r in enumerate(self._results):
            if self.space.tokens[r.candidate] > 3e7:
                self._results[i] = Result(r.candidate, r.seed, np.nan)


def test_a_configuration_that_failed_is_left_alone(space):
    lab = FailingLab(plausible_laws(*space.logs)[0], space, NOISE, np.random.default_rng(0))
    designer = Designer(space, exponent(), BUDGET)
    run_sequentially(designer, lab)
    failed = [r.candidate for r in lab.results() if np.isnan(r.loss)]
    assert failed and designer.excluded[failed].all() and not designer.done[failed].any()
    assert lab.spent() <= 1.1 * BUDGET


def test_a_lab_that_does_nothing_is_not_asked_for_ever(space):
    class Idle(SimulatedLab):
        def train(self, runs):
            self._spent += 1e10

    run_sequentially(
        Designer(space, exponent(), BUDGET),
        Idle(plausible_laws(*space.logs)[0], space, NOISE, np.random.default_rng(0)),
    )


def test_the_first_part_is_cheap_runs_and_later_ones_are_dear(space):
    plan = Designer(space, exponent(), BUDGET).plan(BUDGET)
    cheap, dear = (part_of(plan, space, [], 0.25 * BUDGET, cheapest, 1.0) for cheapest in (True, False))
    assert len(cheap) > len(dear) and set(cheap) | set(dear) <= {
        (r, s) for r in np.flatnonzero(plan.counts) for s in range(4)
    }
    for part in (cheap, dear):
        assert sum(space.costs[run] for run, _ in part) <= 0.25 * BUDGET
    run, seed = next(at for at in cheap if at[1] == 0)
    again = part_of(plan, space, [Result(run, 0, 1.0)], 0.25 * BUDGET, True, 1.0)
    assert (run, seed) not in again and (run, 1) in again


def test_a_planted_speed_up_is_found(space):
    """B needs 20 % fewer tokens and its steps are 10 % faster."""
    law, generator = plausible_laws(*space.logs)[0], np.random.default_rng(0)
    where, found = Speedup(float(space.costs.max())), []
    for _ in range(200):
        cells = generator.integers(0, len(space.costs), 12)
        slope = where.observed(law[None], *space.logs)[0, cells, 0]
        pairs = [
            Result(int(c), 0, 1.0, s * np.log(1.25) + generator.normal(0, 0.004), np.log(1.1))
            for c, s in zip(cells, slope, strict=True)
        ]
        found.append(where.estimate(law, space.logs, pairs, 0.95))
    values, low, high = np.array(found).T
    assert np.mean(values) == pytest.approx(np.log(1.25 * 1.1), abs=0.02)
    assert 0.9 < np.mean((low < np.log(1.375)) & (np.log(1.375) < high)) < 0.99
    assert where.natural(np.log(1.375)) == pytest.approx(1.375)


def test_a_design_for_a_speed_up(space):
    plan = Designer(space, Speedup(float(space.costs.max())), BUDGET).plan(BUDGET)
    assert plan.cost <= BUDGET and 0 < plan.half_width < 1


def test_costs_are_those_of_the_steps():
    true = StepCost(overhead_s=2e-3, s_per_flop=1e-10, fixed_s=0.5)
    timings = [Timing(f, true.step_s(f), true.run_s(f, 0, 0, 4)) for f in (1e6, 1e7, 1e9)]
    found = fit_costs(timings, 4)
    assert (found.overhead_s, found.s_per_flop, found.fixed_s) == pytest.approx((2e-3, 1e-10, 0.5))
    assert fit_costs(timings[2:], 4).step_s(1e9) == pytest.approx(timings[2].step_s)
    with pytest.raises(InputError):
        fit_costs([], 4)


def test_no_room_is_said():
    with pytest.raises(InputError, match="budget"):
        Space(np.array([]), np.array([]), np.array([]))


def test_noise_is_that_of_one_run():
    assert Noise(3.0, 4.0).one == 5.0
