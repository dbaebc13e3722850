"""Evaluations reach the loggers once each, also of a sweep that goes on; what is not installed is said before anything is trained."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from laimbench.cli.progress import SweepProgress
from laimbench.cli.sweep import run_ladder
from laimbench.errors import InputError
from laimbench.ladder import sweep
from laimbench.ladder.config import make_ladder
from laimbench.ladder.logs import Logs, open_writers
from laimbench.store import Store

LADDER = {"name": "t", "family": "mlp", "data": "builtin:digits", "backends": ["torch"], "seeds": [0], "tokens": [320],
          "sizes": [{"width": 4}], "train": {"batch_size": 32, "evals": 2}}  # fmt: skip


class Calls:
    """Notes every call, as a writer."""

    def __init__(self):
        self.seen = []

    def begin(self, key, name, config):
        self.seen.append(("begin", name.rpartition("-")[0], config["width"]))

    def write(self, key, step, values):
        self.seen.append(("write", step, sorted(values)))

    def finish(self, key, done):
        self.seen.append(("finish", done))


def test_every_evaluation_is_written_once(tmp_path):
    calls = Calls()
    with Store(tmp_path / "runs.sqlite") as store:
        logs = Logs(store, [calls])
        with SweepProgress(console(), 1.0, logs.look) as progress:
            sweep(make_ladder(LADDER), store, listener=progress)
    kinds = [seen[0] for seen in calls.seen]
    assert kinds == ["begin", "write", "write", "write", "finish"] and calls.seen[0][1:] == (
        "mlp-w4-320-fp32-s0-torch",
        4,
    )
    assert [seen[1] for seen in calls.seen[1:]] == [0, 5, 10, True]
    assert "train_loss" not in calls.seen[1][2] and "train_loss" in calls.seen[2][2]  # none before the first step


def test_a_sweep_that_goes_on_writes_on(tmp_path):
    calls = Calls()
    with Store(tmp_path / "runs.sqlite") as store:
        facts = {"family": "mlp", "size": "w4", "backend": "torch", "dtype": "fp32", "seed": 0, "params": 1, "params_non_embedding": 1,
                 "tokens": 320, "flops": 1.0}  # fmt: skip
        row = {"tokens": 1, "flops": 1.0, "train_s": 1.0, "train_loss": 1.0, "val_loss": 1.0, "tokens_per_s": 1.0}
        run = store.begin_run("k" * 64, "t", {"width": 4}, facts, {})
        store.log(run, [{"step": 0, **row}])
        logs = Logs(store, [calls])
        store.log(run, [{"step": 5, **row}])
        logs.look("k" * 64)
        logs.look("k" * 64)
        store.finish_run(run, "failed", {}, "nan")
        logs.look("k" * 64)
    assert [seen[:2] for seen in calls.seen[1:]] == [("write", 5), ("finish", False)]


def test_tensorboard(tmp_path, monkeypatch):
    scalars = []
    writer = SimpleNamespace(
        add_scalar=lambda *a: scalars.append(a), add_text=lambda *a: None, close=lambda: scalars.append("closed")
    )
    monkeypatch.setitem(
        sys.modules, "torch.utils.tensorboard", module(SummaryWriter=lambda folder: scalars.append(folder) or writer)
    )
    run_ladder(console(), make_ladder(LADDER), tmp_path / "runs.sqlite", log=[f"tensorboard:{tmp_path}/tb"])
    assert scalars[0].startswith(f"{tmp_path}/tb/t/mlp-w4-320") and scalars[-1] == "closed"
    assert {s[0] for s in scalars[1:-1]} == {"train_loss", "val_loss", "tokens", "flops", "train_s", "tokens_per_s"}


def test_wandb_and_mlflow(tmp_path, monkeypatch):
    seen = []
    run = SimpleNamespace(
        log=lambda values, step: seen.append(step), finish=lambda exit_code: seen.append(f"exit {exit_code}")
    )
    monkeypatch.setitem(
        sys.modules,
        "wandb",
        module(init=lambda **how: seen.append((how["project"], how["group"], how["resume"])) or run),
    )

    class Client:
        def __init__(self, uri):
            assert uri == "http://there"

        def get_experiment_by_name(self, name):
            return None

        def create_experiment(self, name):
            return name

        def create_run(self, experiment, run_name, tags):
            return SimpleNamespace(info=SimpleNamespace(run_id=experiment))

        def log_param(self, *_): ...

        def log_metric(self, run, name, value, step):
            seen.append((run, name, step))

        def set_terminated(self, run, status):
            seen.append(status)

    monkeypatch.setitem(sys.modules, "mlflow", module(MlflowClient=Client))
    run_ladder(console(), make_ladder(LADDER), tmp_path / "runs.sqlite", log=["wandb", "mlflow:http://there"])
    assert seen[0] == ("laimbench", "t", "allow") and [s for s in seen if isinstance(s, int)] == [0, 5, 10]
    assert ("t", "val_loss", 10) in seen and seen[-2:] == ["exit 0", "FINISHED"]


def test_a_logger_that_fails_costs_no_run(tmp_path):
    class Broken(Calls):
        def write(self, key, step, values):
            raise ConnectionError("no route")

    calls, notes = Calls(), []
    with Store(tmp_path / "runs.sqlite") as store:
        logs = Logs(store, [Broken(), calls], notes.append)
        with SweepProgress(console(), 1.0, logs.look) as progress:
            assert sweep(make_ladder(LADDER), store, listener=progress).trained == 1
    assert notes == ["Broken is not written to any more: no route"] and len(calls.seen) == 5


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"laimbench\[wandb\]"):
        open_writers(["wandb"], "t")
    with pytest.raises(InputError, match="neptune"):
        open_writers(["neptune"], "t")


def module(**names):
    made = ModuleType("made")
    made.__dict__.update(names)
    return made


def console():
    from rich.console import Console

    return Console(stderr=True, width=160)
