"""Ladders: read strictly, paired, resumed, failures kept."""

import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from laimbench.data import load_tokens
from laimbench.errors import InputError, RunError
from laimbench.ladder import load_ladder, plan_ladder, sweep
from laimbench.ladder.builtin import demo_ladders
from laimbench.ladder.config import make_ladder
from laimbench.ladder.plan import run_key
from laimbench.ladder.sweep import Listener
from laimbench.store import Store
from laimbench.train import Evaluation, Trainer, save_checkpoint, tasks
from laimbench.train.state import capture, restore

CONFIGS = Path(__file__).parents[2] / "configs"
VALUES = {"name": "t", "family": "mlp", "data": "builtin:digits", "seeds": [0, 1], "tokens": [320, 640],
          "sizes": [{"width": 4}, {"width": 8}], "train": {"batch_size": 32, "evals": 2}}  # fmt: skip


@dataclass
class Recorder(Listener):
    order: list

    def evaluated(self, config, trainer, evaluation):
        self.order.append((config.size, config.tokens, config.seed, config.backend))


class FailingTrainer:
    """Fails in its second segment for one backend."""

    def __init__(self, config):
        self.config, self.segment, self.finished = config, 0, False
        self.params = self.params_non_embedding = 1
        self.flops_per_step, self.notes = 1.0, ()

    def advance(self):
        self.segment += 1
        if self.segment == 2 and self.config.backend == "laim" and self.config.seed == 1:
            raise RunError("loss is nan at step 3")
        self.finished = self.segment == 3
        return Evaluation(self.segment, self.segment, 1.0, 0.1, 1.0, 1.0, 1.0)

    def summary(self):
        return {}


def test_a_ladder_names_every_run():
    ladder = make_ladder(VALUES)
    assert len(ladder.runs) == 16 and len(ladder.groups) == 8
    for group in ladder.groups:
        assert [run.backend for run in group] == ["torch", "laim"]
        assert len({(run.width, run.tokens, run.seed) for run in group}) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [({"sedes": [1]}, ["sedes", "seeds"]), ({"train": {"batchsize": 3}}, ["train.batchsize", "batch_size"]),
     ({"sizes": [{"width": 4, "hight": 2}]}, ["sizes[0].hight"]), ({"sizes": []}, ["sizes"]),
     ({"seeds": [0, 0]}, ["seeds"]), ({"seeds": ["a"]}, ["seeds", "integers"]), ({"backends": ["jax"]}, ["backend", "jax"]),
     ({"tokens": []}, ["tokens"]), ({"name": 3}, ["name"])],
)  # fmt: skip
def test_wrong_ladders_are_named_by_field(change, words):
    with pytest.raises(InputError) as caught:
        make_ladder(VALUES | change)
    for word in words:
        assert word in str(caught.value)


def test_wrong_files_are_named(tmp_path):
    path = tmp_path / "ladder.toml"
    for content in ("not = [toml", 'name = "x"\nunknown = 1\n'):
        path.write_text(content)
        with pytest.raises(InputError, match=r"ladder\.toml"):
            load_ladder(path)
    with pytest.raises(InputError, match="no such file"):
        load_ladder(tmp_path / "missing.toml")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.name)
def test_committed_configs_are_valid(path):
    assert load_ladder(path).runs


def test_the_demo_is_a_ladder_of_the_promised_size():
    gpt, bf16, mlp = demo_ladders(smoke=False)
    assert len({run.size for run in gpt.runs}) >= 4 and len(gpt.groups) == 16 and len(gpt.runs) == 32
    assert {run.dtype for run in bf16.runs} == {"bf16"} and {run.family for run in mlp.runs} == {"mlp"}


def test_plan_counts_and_measures():
    plans = list(plan_ladder(make_ladder(VALUES), measure=True))
    assert len(plans) == 16 and all(plan.seconds > 0 and plan.flops > 0 for plan in plans)
    assert all(plan.tokens in (320, 640) for plan in plans)
    assert all(plan.seconds is None for plan in plan_ladder(make_ladder(VALUES), measure=False))


def test_paired_runs_take_turns_and_a_second_sweep_does_nothing(tmp_path):
    ladder, recorder = make_ladder(VALUES), Recorder([])
    with Store(tmp_path / "runs.sqlite") as store:
        outcome = sweep(ladder, store, listener=recorder)
        assert (outcome.trained, outcome.skipped, outcome.failures) == (16, 0, [])
        backends = [entry[-1] for entry in recorder.order[:6]]
        assert backends == ["torch", "laim", "laim", "torch", "torch", "laim"]
        again = sweep(ladder, store)
        assert (again.trained, again.skipped) == (0, 16)
        runs = store.runs(status="done")
        assert len(runs) == 16 and all(0 <= run.summary["accuracy"] <= 1 for run in runs)
        losses = {(r.size, r.tokens, r.seed, r.backend): r.final_val_loss for r in runs}
        for (size, tokens, seed, _), loss in losses.items():
            assert losses[size, tokens, seed, "torch"] == pytest.approx(loss, abs=1e-3)


def test_a_failed_run_is_kept_and_the_others_go_on(tmp_path):
    with Store(tmp_path / "runs.sqlite") as store:
        outcome = sweep(make_ladder(VALUES), store, trainer=FailingTrainer)
        assert outcome.trained == 12 and len(outcome.failures) == 4
        failed = store.runs(status="failed")
        assert len(failed) == 4 and all("step 3" in run.error and run.seed == 1 for run in failed)
        assert sweep(make_ladder(VALUES), store, trainer=FailingTrainer).skipped == 12


def test_an_interrupted_sweep_keeps_what_it_has(tmp_path):
    class Interrupted(FailingTrainer):
        made = 0

        def advance(self):
            type(self).made += 1
            if type(self).made == 5:
                raise KeyboardInterrupt
            return super().advance()

    with Store(tmp_path / "runs.sqlite") as store:
        with pytest.raises(KeyboardInterrupt):
            sweep(make_ladder(VALUES), store, trainer=Interrupted)
        assert [run.status for run in store.runs()] == ["running", "running"]
        assert sum(len(store.metrics(run.id)) for run in store.runs()) == 4


def test_a_killed_sweep_goes_on_where_it_stopped(tmp_path):
    config, path = tmp_path / "ladder.toml", tmp_path / "runs.sqlite"
    config.write_text(
        'name = "k"\nfamily = "mlp"\ndata = "builtin:digits"\nseeds = [0, 1, 2]\ntokens = [12800]\n'
        "[[sizes]]\nwidth = 8\n[[sizes]]\nwidth = 16\n[train]\nbatch_size = 32\nevals = 4\n"
    )
    code = "import sys; from laimbench.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "sweep", str(config), "--store", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while "val loss" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with Store(path) as store:
        done = {run.key: run.finished_at for run in store.runs(status="done")}
    assert 0 < len(done) < 12
    subprocess.run(command, check=True, capture_output=True)
    with Store(path) as store:
        runs = store.runs()
        assert len(runs) == 12 and {run.status for run in runs} == {"done"}
        assert done.items() <= {run.key: run.finished_at for run in runs}.items()  # what was done was not done again


def test_other_content_is_another_run(tmp_path, monkeypatch):
    def write(word):
        for i in range(12):
            (tmp_path / "texts" / f"{i}.txt").write_text(f"{word} number {i}\n" * 200)

    def again():
        monkeypatch.setattr(tasks, "_contents", {})  # as in another process
        load_tokens.cache_clear()
        return run_key(ladder.runs[0])

    (tmp_path / "texts").mkdir()
    write("one")
    values = {**VALUES, "family": "gpt", "data": f"dir:{tmp_path / 'texts'}", "seeds": [0], "tokens": [256], "backends": ["laim"],
              "sizes": [{"width": 32, "depth": 1}], "train": {"seqlen": 16, "batch_size": 8, "evals": 1, "vocab_size": 260}}  # fmt: skip
    ladder = make_ladder(values)
    with Store(tmp_path / "runs.sqlite") as store:
        first = again()
        assert sweep(ladder, store).trained == 1 and sweep(ladder, store).skipped == 1
        state = capture(Trainer(ladder.runs[0]))
        write("two")
        load_tokens.cache_clear()
        with pytest.raises(InputError, match=r"data 'dir:.*changed since the sweep began"):
            sweep(make_ladder({**values, "seeds": [1]}), store)
        second = again()
        assert second != first and sweep(ladder, store).trained == 1
        assert {run.key for run in store.runs(status="done")} == {first, second}
        with pytest.raises(InputError, match="other data"):
            restore(Trainer(ladder.runs[0]), *state)
        write("one")
        assert again() == first and sweep(ladder, store).skipped == 1


def test_other_initial_weights_are_another_run(tmp_path, monkeypatch):
    config = make_ladder({**VALUES, "seeds": [0]}).runs[0]
    keys = []
    for seed in (0, 1):
        save_checkpoint(tmp_path / "start", Trainer(replace(config, seed=seed)), {})
        monkeypatch.setattr(tasks, "_contents", {})
        keys.append(run_key(replace(config, start=str(tmp_path / "start"))))
    assert len({*keys, run_key(config)}) == 3
