"""SIGTERM and kills, as the command line has them: what is at work is kept, and gone on with when started again."""

import json
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from laimbench.cli import main
from laimbench.cli.watch import table
from laimbench.store import Leases, Store
from laimbench.store.leases import leases_of
from tests.store.test_store import FACTS, metric

COMMAND = [sys.executable, "-c", "import sys; from laimbench.cli import main; sys.exit(main(sys.argv[1:]))"]


@pytest.fixture
def long_ladder(ladder_file):
    """Two pairs of runs, each of some seconds."""
    text = ladder_file.read_text().replace("[320, 640]", "[12800]").replace("evals = 2", "evals = 4")
    ladder_file.write_text(text.replace("seeds = [0, 1]", "seeds = [0]"))
    return ladder_file


def start(*arguments):
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip


def test_sigterm_keeps_what_is_at_work(tmp_path, long_ladder):
    store = tmp_path / "runs.sqlite"
    process = start("sweep", long_ladder, "--store", store)
    while "val loss" not in process.stdout.readline():  # the first pair is done, or half of it
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 143
    assert error == "error: terminated; what is at work is kept, started again it goes on from there\n"
    with Store(store, must_exist=True) as opened:
        at_work = {run.key for run in opened.runs(status="running")}
    kept = {path.name for path in Path(f"{store}.states").iterdir()}
    assert at_work and at_work <= kept
    again = subprocess.run(
        [*COMMAND, "sweep", str(long_ladder), "--store", str(store)], check=True, capture_output=True, text=True
    )
    assert again.stdout.count("goes on from step") == len(at_work)
    with Store(store, must_exist=True) as opened:
        assert [run.status for run in opened.runs()] == ["done"] * 4


def test_a_killed_train_goes_on_to_the_same_model(tmp_path, capsys):
    options = ["--family=mlp", "--width=8", "--tokens=6400", "--batch-size=32", "--evals=4", "--save-every=0"]
    process = start("train", *options, "--out", tmp_path / "cut")
    while "step    50/" not in process.stdout.readline():
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert not (tmp_path / "cut").exists() and list((tmp_path / "cut.state").iterdir())
    results = {}
    for name in ("cut", "whole"):
        target = tmp_path / f"{name}.json"
        assert main(["train", *options, "--out", str(tmp_path / name), "--json", str(target)]) == 0
        assert ("goes on from step" in capsys.readouterr().out) == (name == "cut")
        results[name] = json.loads(target.read_text())
        assert not (tmp_path / f"{name}.state").exists()
    cut, whole = ([[e["step"], e["train_loss"], e["val_loss"]] for e in r["evaluations"]] for r in results.values())
    assert cut == whole and len(cut) == 5
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("cut", "whole")]
    assert weights[0] == weights[1]


def test_a_ladder_by_several_processes(tmp_path, ladder_file, swept, capfd):
    store = tmp_path / "runs.sqlite"
    command = ["sweep", str(ladder_file), "--store", str(store), "--launcher", "local", "--workers", "2"]
    assert main(command) == 0
    said = capfd.readouterr().out
    assert (
        "2 processes of" in said and said.count(": done, val loss") == 16 and "16 runs trained, 0 done before" in said
    )
    with Store(store) as here, Store(swept) as there:
        ours, theirs = ({run.key: run.final_val_loss for run in opened.runs(status="done")} for opened in (here, there))
    assert ours.keys() == theirs.keys() and all(ours[key] == pytest.approx(theirs[key], rel=1e-4) for key in ours)
    assert main([*command, "--device", "cpu"]) == 0 and "0 runs trained, 16 done before" in capfd.readouterr().out


def test_a_launcher_that_is_not_there(fails, tmp_path, ladder_file):
    sweep = ("sweep", ladder_file, "--store", tmp_path / "x.sqlite")
    assert "none, local, ray, slurm" in fails(2, *sweep, "--launcher", "moon")
    assert "expected how many tasks" in fails(2, *sweep, "--launcher", "slurm")
    assert "without --launcher slurm" in fails(2, *sweep, "--sbatch", "--partition=gpu")


def test_watch_tells_a_line_of_json_per_run_that_ended(swept, capsys):
    assert main(["watch", str(swept)]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(events) == 16 and {event["event"] for event in events} == {"done"}
    assert all(event["val_loss"] > 0 and event["backend"] in ("laim", "torch") for event in events)


def test_the_table_of_runs_at_work(tmp_path):
    with Store(tmp_path / "runs.sqlite") as store, Leases(store) as leases:
        (claim, _) = leases.claim(["a", "b"])
        for key in "abc":
            store.begin_run(key, "s", {}, FACTS, {})
        store.log(1, [metric(5, 2.5)], claim)
        console = Console(width=120, record=True, file=StringIO())
        console.print(table(store.runs(), leases_of(store), store.address))
        text = " ".join(console.export_text().split())
    assert "0 done, 0 failed, 3 at work" in text
    assert text.count("at work │") == 2 and text.count("stopped") == 1 and "2.5000" in text
