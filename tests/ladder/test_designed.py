"""A sweep to a budget, with trainers that take nothing: the budget is kept, results are learnt from, and started again it costs nothing."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from laimbench.cli import main
from laimbench.cli.designed import design_sweep
from laimbench.cli.output import console_for
from laimbench.design import Designer, exponent
from laimbench.design.costs import StepCost
from laimbench.errors import InputError
from laimbench.ladder import designed, sweep
from laimbench.ladder.designed import Amount, affordable, make_base, parse_budget
from laimbench.store import Store
from laimbench.train import Evaluation, describe

VALUES = {"data": "synthetic:markov", "train": {"seqlen": 32, "batch_size": 2, "eval_tokens": 512}}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@dataclass
class Fake:
    """Trains nothing: its loss is a law's with noise, its time the clock's."""

    config: object
    clock: Clock
    slower: float = 1.0
    finished = False

    def __post_init__(self):
        facts = describe(self.config)
        self.params, self.params_non_embedding, self.flops_per_step = (
            facts.params,
            facts.params_non_embedding,
            facts.flops_per_step,
        )
        self.notes, self.evaluations = (), []

    def advance(self):
        self.finished = True
        tokens, laim = self.config.tokens, self.config.backend == "laim"
        steps = self.config.total_steps
        seconds = self.slower * COST.run_s(self.flops_per_step, steps, self.config.evals, 8)
        self.clock.now += seconds
        noise = np.random.default_rng((self.config.seed, tokens, self.config.width)).normal(0, 0.005)
        noise += np.random.default_rng((self.config.seed, tokens, self.config.width, laim)).normal(0, 0.002)
        loss = (1 + 60 / self.params**0.4 + 60 / (tokens * (1.1 if laim else 1.0)) ** 0.35) * np.exp(noise)
        return Evaluation(steps, tokens, 1.0, seconds * (0.8 if laim else 1.0), loss, loss, 1.0)

    def summary(self):
        return {}


COST = StepCost(overhead_s=1e-3, s_per_flop=1e-10, fixed_s=0.2)


@pytest.fixture
def sweep_to(tmp_path, monkeypatch):
    """Run a design with fake trainers; return its document, the ladders that were trained, and the clock."""
    clock = Clock()
    monkeypatch.setattr(designed, "WIDTHS", (32, 48, 64, 96, 128))
    monkeypatch.setattr(designed, "_measure", lambda base, budget: {backend: COST for backend in base.backends})
    monkeypatch.setattr(designed.time, "monotonic", clock)
    path, trained = tmp_path / "runs.sqlite", []

    def call(budget, question="exponent", dry_run=False, slower=1.0, values=VALUES):
        def train(ladder):
            trained.append(ladder)
            with Store(path) as store:
                return sweep(ladder, store, trainer=lambda config: Fake(config, clock, slower))

        document, failures = design_sweep(
            console_for("-"), train, path, budget=budget, question=question, values=values, dry_run=dry_run
        )
        assert not failures
        return document, trained, clock

    return call


def test_a_budget_of_flops_is_spent_on_runs_that_tell(sweep_to, tmp_path, capsys):
    document, trained, _ = sweep_to("2e13")
    assert 0.9 * 2e13 <= document["spent"] <= 1.1 * 2e13 and len(trained) > 3
    assert document["obtained"]["low"] < document["obtained"]["value"] < document["obtained"]["high"]
    with Store(tmp_path / "runs.sqlite") as store:
        runs = store.runs(sweep=document["name"])
        assert sum(run.flops for run in runs) == pytest.approx(document["spent"]) and len(runs) == document["runs"]
        assert {run.backend for run in runs} == {"laim"}
    json.dumps(document, allow_nan=False)
    shown = capsys.readouterr().err
    assert "expected" in shown and "obtained" in shown and "prior" in shown
    before = len(trained)
    again, trained, _ = sweep_to("2e13")
    assert again == document and len(trained) == before


@pytest.mark.parametrize("slower", [0.7, 1.4])
def test_a_budget_of_time_is_kept_on_a_machine_that_is_not_as_measured(sweep_to, slower):
    document, _, clock = sweep_to("30m", slower=slower)
    assert 0.9 * 1800 <= clock.now <= 1.1 * 1800 and document["spent"] == pytest.approx(clock.now)


def test_what_was_stopped_is_gone_on_with(sweep_to, monkeypatch, tmp_path):
    monkeypatch.setattr(designed.LadderLab, "train", stopping(designed.LadderLab.train))
    with pytest.raises(KeyboardInterrupt):
        sweep_to("2e13")
    with Store(tmp_path / "runs.sqlite") as store:
        first = {run.key for run in store.runs()}
    document, _, _ = sweep_to("2e13")
    assert first and document["spent"] <= 1.1 * 2e13
    with Store(tmp_path / "runs.sqlite") as store:
        assert first < {run.key for run in store.runs()}
        assert sum(run.flops for run in store.runs()) == pytest.approx(document["spent"])


def stopping(train):
    calls = []

    def stop(lab, runs):
        calls.append(runs)
        if len(calls) == 2:
            raise KeyboardInterrupt
        train(lab, runs)

    return stop


def test_a_speed_up_is_designed_for_in_pairs(sweep_to, tmp_path):
    document, trained, _ = sweep_to("5e13", question="speedup")
    assert {tuple(run.backend for run in group) for ladder in trained for group in ladder.groups} == {("torch", "laim")}
    # 1.1 times the tokens' worth at 1 / 0.8 of the speed
    obtained = document["obtained"]
    assert (
        obtained["value"] == pytest.approx(1.375, rel=0.05)
        and 0 < obtained["half_width"] < 3 * document["expected_half_width"]
    )


def test_a_dry_run_trains_nothing(sweep_to, tmp_path):
    document, trained, _ = sweep_to("30m", question="prediction@1e16", dry_run=True)
    assert not trained and not (tmp_path / "runs.sqlite").exists()
    assert document["expected_half_width"] > 0 and document["planned_cost"] <= 1800


def test_steps_are_timed(monkeypatch):
    monkeypatch.setattr(designed, "WIDTHS", (8, 16, 24))
    (cost,) = designed._measure(make_base(VALUES, "exponent"), Amount(100, "seconds")).values()
    assert cost.step_s(1e6) > 0 and cost.run_s(1e6, 100, 2, 8) > 100 * cost.step_s(1e6) and cost.fixed_s >= 0


def test_runs_are_within_the_bounds_of_a_law():
    options = affordable(make_base(VALUES, "exponent"), Amount(2e13, "FLOPs"))
    space = options.space
    assert (space.tokens % 64 == 0).all() and (space.tokens >= 6400).all()
    plan = Designer(space, exponent(), 2e13).plan(2e13)
    assert (space.costs[plan.counts > 0] <= 0.2 * 2e13).all() and plan.counts.max() <= 4
    assert (np.diff(np.unique(options.widths)) > 0).all() and len(np.unique(options.widths)) > 3


@pytest.mark.parametrize(
    ("text", "value", "unit"), [("30m", 1800, "seconds"), ("5h", 18_000, "seconds"), ("1h30m", 5400, "seconds"), ("1e18", 1e18, "FLOPs"),
                                ("2PF-days", 1.728e20, "FLOPs"), ("1_000_000", 1e6, "FLOPs"), ("3 EFLOPs", 3e18, "FLOPs")]
)  # fmt: skip
def test_budgets_are_times_or_flops(text, value, unit):
    assert parse_budget(text) == Amount(pytest.approx(value), unit)


@pytest.mark.parametrize("text", ["", "x", "-3h", "0", "5 parsecs", "1e18/s"])
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(InputError, match="--budget"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("values", "words"), [({"sizes": [{"width": 8}]}, "sizes"), ({"family": "vit"}, "vit"), ({"seeds": [1]}, "seeds"),
                          ({"train": {"lrr": 1}}, "train.lrr"), ({"backends": ["laim", "torch"]}, "one"), ({"backends": ["jax"]}, "jax"),
                          ({"train": 3}, "train is 3"), ({"backends": [["laim"]]}, "laim"), ({"train": {"lr": "x"}}, "lr")]
)  # fmt: skip
def test_what_the_design_chooses_is_refused(values, words):
    with pytest.raises(InputError, match=words):
        make_base(values, "exponent")


def test_a_real_sweep_to_a_budget(tmp_path, monkeypatch):
    """With real trainers, at the smallest size: everything fits together."""
    monkeypatch.setattr(designed, "WIDTHS", (8, 16, 24))
    monkeypatch.setattr(designed, "FEWEST_STEPS", 4)
    monkeypatch.setattr("laimbench.design.sequential.LEAST_SHARE", 0.02)  # few runs
    monkeypatch.setattr(designed, "TOKENS_PER_PARAM", (0.02, 5.0))
    (tmp_path / "base.toml").write_text(
        'data = "synthetic:markov"\n[train]\nseqlen = 16\nbatch_size = 2\neval_tokens = 64\n'
    )
    out = tmp_path / "out.json"
    arguments = [
        "sweep",
        str(tmp_path / "base.toml"),
        "--budget",
        "1e9",
        "--store",
        str(tmp_path / "r.sqlite"),
        "--json",
        str(out),
    ]
    assert main(arguments) == 0
    document = json.loads(out.read_text())
    assert 0.9e9 <= document["spent"] <= 1.1e9 and document["runs"] > 8
