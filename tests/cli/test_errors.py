"""Every failure: one line that names the file, the field and what was expected, and the promised exit code."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from laimbench.cli import main
from laimbench.store import Store

COMMAND = [sys.executable, "-c", "import sys; from laimbench.cli import main; sys.exit(main(sys.argv[1:]))"]


def test_an_unknown_key_in_a_config(fails, ladder_file):
    ladder_file.write_text(ladder_file.read_text().replace("evals", "evalz"))
    line = fails(2, "sweep", ladder_file)
    assert str(ladder_file) in line and "train.evalz" in line and "evals" in line


@pytest.mark.parametrize("verb", [["runs", "list"], ["runs", "export"], ["report"], ["fit"]])
def test_a_corrupt_store(fails, tmp_path, swept, verb):
    path = tmp_path / "runs.sqlite"
    content = bytearray(swept.read_bytes())
    content[100:4096] = os.urandom(3996)
    path.write_bytes(content)
    line = fails(2, *verb, path)
    assert str(path) in line and "not a readable laimbench store" in line
    assert path.read_bytes() == content  # nothing lost


def test_a_store_of_another_program_is_left_alone(fails, tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = path.read_bytes()
    line = fails(2, "runs", "list", path)
    assert str(path) in line and "another program" in line and path.read_bytes() == before


def test_a_store_that_is_not_there(fails, tmp_path):
    for verb in (["runs", "list"], ["report"]):
        assert "no such file" in fails(2, *verb, tmp_path / "none.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_text_in_a_number_column(fails, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss\n1e6,2e7,4.1\n2e6,many,3.9\n")
    line = fails(2, "fit", path)
    assert str(path) in line and "tokens" in line and "many" in line and "row 3" in line


def test_a_column_that_is_not_there(fails, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("size,tokens,loss\n1e6,2e7,4.1\n")
    line = fails(2, "fit", path)
    assert str(path) in line and "--columns" in line


def test_a_nan_loss_fails_the_run_and_is_kept(fails, tmp_path, corpus):
    store = tmp_path / "runs.sqlite"
    line = fails(1, "train", "--data", corpus, "--width", 16, "--depth", 1, "--seqlen", 16, "--tokens", 4096,
                 "--vocab-size", 300, "--lr", "1e30", "--store", store)  # fmt: skip
    assert "nan" in line.lower() or "inf" in line.lower()
    assert "step" in line
    with Store(store, must_exist=True) as opened:
        (run,) = opened.runs()
    assert run.status == "failed" and "step" in run.error


def test_a_full_disk(fails, tmp_path, swept, monkeypatch):
    out = tmp_path / "runs.csv"
    out.write_text("old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out))

    monkeypatch.setattr("os.fsync", full)
    line = fails(1, "runs", "export", swept, "--out", out)
    assert str(out) in line and "No space left" in line
    assert out.read_text() == "old" and list(tmp_path.iterdir()) == [out]


def test_a_wrong_option(fails, tmp_path):
    assert "--form" in fails(2, "fit", tmp_path / "x.csv", "--form", "cubic")
    assert "No such option" in fails(2, "runs", "list", "--colour")
    assert "No such command" in fails(2, "optimise")
    assert "backend" in fails(2, "train", "--backend", "jax")
    assert "nowhere" in fails(2, "train", "--data", "file:/nowhere/at/all.txt")


def test_a_device_that_is_not_there(fails, tmp_path, ladder_file, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    store, missing = tmp_path / "runs.sqlite", "device is 'cuda', but torch sees no CUDA device here"
    for verb in (
        ["train"],
        ["sweep", ladder_file],
        ["sweep", ladder_file, "--launcher", "local"],
        ["sweep", "--budget", "1e15"],
    ):
        assert missing in fails(2, *verb, "--device", "cuda", "--store", store)
    with Store(store) as opened:
        assert opened.runs() == []
    assert "expected one of cpu, cuda" in fails(2, "train", "--device", "tpu")
    assert "expected one of cpu, cuda" in fails(2, "sweep", ladder_file, "--device", "tpu")


def test_kernels_that_are_missing_are_one_line(tmp_path):
    code = (
        "import sys; sys.modules['laimbench._C'] = None\n"
        "from laimbench.cli import main; sys.exit(main(['train', '--tokens', '100']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "compiled kernels cannot be loaded" in done.stderr and "laimbench doctor" in done.stderr


def test_a_package_that_is_missing_is_one_line(tmp_path, swept):
    code = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        f"from laimbench.cli import main; sys.exit(main(['report', {str(swept)!r}, '--out', 'page.html']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "sqlalchemy" in done.stderr


def test_debug_shows_the_traceback(tmp_path, capsys):
    assert main(["--debug", "runs", "list", str(tmp_path / "none.sqlite")]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_keeps_everything_so_far(tmp_path, ladder_file):
    ladder_file.write_text(ladder_file.read_text().replace("[320, 640]", "[128000]").replace("evals = 2", "evals = 40"))
    store = tmp_path / "runs.sqlite"
    process = subprocess.Popen(
        [*COMMAND, "sweep", str(ladder_file), "--store", str(store)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while "val loss" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert err.strip() == "error: interrupted; everything finished so far is kept"
    with Store(store, must_exist=True) as opened:
        runs = opened.runs()
        assert runs[0].status == "done" and len(opened.metrics(runs[0].id)) >= 40


def test_wrong_data_sources(fails, tmp_path):
    small = ["--tokens", "1000", "--width", "8", "--depth", "1"]
    line = fails(2, "train", *small, "--data", "synthetic:markov?states=8&oder=2")
    assert "oder" in line and "order, states" in line
    (tmp_path / "rows.jsonl").write_text("{\n" * 900)
    line = fails(2, "train", *small, "--data", f"file:{tmp_path / 'rows.jsonl'}")
    assert "0 bytes of text" in line and "rows.jsonl:1: not JSON" in line
    line = fails(2, "train", *small, "--tokenizer", tmp_path / "none.json")
    assert "none.json: cannot be read" in line
