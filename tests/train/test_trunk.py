"""A run from a trunk is the run from scratch, bit for bit; a ladder shares its trunks, pays once, and leaves nothing behind."""

import dataclasses

import pytest
import torch

from laimbench.ladder import sweep
from laimbench.ladder.config import make_ladder
from laimbench.ladder.sweep import Listener
from laimbench.store import Store
from laimbench.train import RunConfig, Trainer
from laimbench.train.schedule import SCHEDULES, decay_start
from laimbench.train.stored import states
from laimbench.train.trunk import Trunk, prune, spent_of, trunk_key

VALUES = {"family": "gpt", "width": 32, "depth": 1, "data": "synthetic:markov", "seqlen": 16, "batch_size": 4, "schedule": "wsd",
          "warmup_steps": 2, "evals": 2, "eval_tokens": 128}  # fmt: skip
STEP_TOKENS = 64
LADDER = {"name": "trunks", "family": "gpt", "data": "synthetic:markov", "backends": ["torch", "laim"], "seeds": [0],
          "sizes": [{"width": 32, "depth": 1, "tokens": [640, 1280, 2560]}],
          "train": {"seqlen": 16, "batch_size": 4, "schedule": "wsd", "evals": 2, "eval_tokens": 128}}  # fmt: skip


def config_of(steps, **more):
    return RunConfig.from_dict({**VALUES, "tokens": steps * STEP_TOKENS, **more})


def trained(config, folder=None):
    trainer = Trainer(config)
    if folder is not None:
        trunk = Trunk(folder, trainer)
        trunk.begin()
        trainer.on_step = trunk.after_step
    while not trainer.finished:
        trainer.advance()
    return trainer


def same(one, other):
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs) and one.evaluations[-1].val_loss == other.evaluations[-1].val_loss


def test_the_schedule_is_the_same_up_to_where_the_decay_begins():
    rates = {total: [SCHEDULES["wsd"](step, total, 2 / total) for step in range(total)] for total in (10, 25, 40)}
    for total, of_run in rates.items():
        start = decay_start(total)
        assert of_run[: start + 1] == rates[40][: start + 1] and of_run[start + 1] < 1


@pytest.mark.parametrize(
    "change", [{}, {"backend": "torch", "dtype": "bf16"}, {"evals": 3, "norm": "rms", "mlp": "swiglu"}]
)
def test_branches_are_runs_from_scratch(change, tmp_path):
    for steps in (10, 20, 40):  # each leaves the trunk further on
        config = config_of(steps, **change)
        branch, scratch = trained(config, tmp_path), trained(config)
        begun = branch.evaluations[0].step
        assert begun == {10: 0, 20: 8, 40: 16}[steps] and same(branch, scratch)
        assert branch.evaluations[-1].flops == scratch.evaluations[-1].flops
        spent = spent_of(branch)
        assert spent == {} if begun == 0 else spent["spent_flops"] == (steps - begun) * branch.flops_per_step
    shorter = trained(config_of(15), tmp_path)  # passes the trunk at 8, not at 16
    assert [int(path.name.split("-")[1]) for path in states(tmp_path)] == [8, 12, 16, 32]
    assert shorter.evaluations[0].step == (0 if change else 8) and same(shorter, trained(config_of(15)))


def test_what_is_damaged_or_another_runs_is_not_begun_from(tmp_path, monkeypatch):
    trained(config_of(10), tmp_path)
    (path,) = states(tmp_path)
    for other in ({"seed": 1}, {"lr": 1e-3}, {"warmup_steps": 3}):
        trainer = Trainer(config_of(20, **other))
        Trunk(tmp_path, trainer).begin()
        assert trainer.step == 0
        assert trunk_key(trainer.config) != trunk_key(config_of(20)) == trunk_key(config_of(10))
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("laimbench.train.state.surroundings", lambda trainer: {"machine": "another"})
        trainer = Trainer(config_of(20))
        Trunk(tmp_path, trainer).begin()
        assert trainer.step == 0
    path.write_bytes(path.read_bytes()[:-1])
    trainer = Trainer(config_of(20))
    Trunk(tmp_path, trainer).begin()
    assert trainer.step == 0


def test_only_what_is_waited_for_is_kept(tmp_path):
    for steps in (10, 20, 40):
        trained(config_of(steps), tmp_path)
    kept = lambda: [int(path.name.split("-")[1]) for path in states(tmp_path)]  # noqa: E731
    prune(tmp_path, [config_of(21), config_of(12)])
    assert kept() == [8, 16]
    prune(tmp_path, [])
    assert not tmp_path.exists()


def test_runs_whose_beginning_depends_on_their_length_have_no_trunk():
    assert trunk_key(config_of(10, warmup_steps=0)) is None and trunk_key(config_of(10, schedule="cosine")) is None


class Notes(Listener):
    def __init__(self):
        self.lines = []

    def note(self, message):
        self.lines.append(message)


def test_a_ladder_shares_trunks_by_itself(tmp_path):
    ladder = make_ladder(LADDER)
    assert {config.warmup_steps for config in ladder.runs} == {1}  # a tenth of ten steps
    notes = Notes()
    with Store(tmp_path / "runs.sqlite") as store:
        assert sweep(ladder, store, listener=notes).trained == 6
        runs = store.runs(status="done")
        assert sum("from its trunk" in line for line in notes.lines) == 4 and not list(store.states.glob("trunk-*"))
        for run in runs:
            first, last = store.metrics(run.id)[0], store.metrics(run.id)[-1]
            if run.tokens == 640:
                assert first.step == 0 and "spent_flops" not in run.summary
                continue
            assert run.summary["trunk_step"] == first.step == {1280: 8, 2560: 16}[run.tokens]
            # The law's FLOPs are the whole run's, what was spent is less.
            assert last.flops == run.flops and run.summary["spent_flops"] == run.flops * (1 - first.tokens / run.tokens)
            assert 0 < run.summary["spent_s"] < run.train_s
        longest = next(run for run in runs if run.tokens == 2560 and run.backend == "laim" and run.seed == 0)
        scratch = trained(next(c for c in ladder.runs if (c.tokens, c.backend, c.seed) == (2560, "laim", 0)))
        assert longest.final_val_loss == scratch.evaluations[-1].val_loss


def test_a_killed_branch_goes_on(tmp_path):
    """The second run of a trunk is stopped in its middle; what its sweep says of it afterwards is as if nothing had been."""
    ladder = make_ladder({**LADDER, "backends": ["torch"], "seeds": [0]})

    class Stop(Listener):
        steps = 0

        def stepped(self):
            self.steps += 1
            if self.steps == 17:  # each group's beginning, 10 of the first run, 5 of the second, which began at 8 of 20
                raise KeyboardInterrupt

    with Store(tmp_path / "runs.sqlite") as store:
        with pytest.raises(KeyboardInterrupt):
            sweep(ladder, store, listener=Stop())
        notes = Notes()
        sweep(ladder, store, listener=notes)
        assert any("goes on from step 13 of 20" in line for line in notes.lines)
        second = next(run for run in store.runs() if run.tokens == 1280)
        assert second.summary["trunk_step"] == 8
        scratch = trained(next(c for c in ladder.runs if c.tokens == 1280))
        assert second.final_val_loss == scratch.evaluations[-1].val_loss


def test_one_budget_and_other_schedules_keep_their_warm_up():
    one = {**LADDER, "sizes": [{"width": 32, "depth": 1, "tokens": [640]}]}
    cosine = {**LADDER, "train": {**LADDER["train"], "schedule": "cosine"}}
    for values in (one, cosine):
        assert {config.warmup_steps for config in make_ladder(values).runs} == {0}
    assert dataclasses.replace(config_of(10), warmup_steps=0).warmup_share == 0.1
