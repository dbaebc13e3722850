"""What ``init-tracking`` writes: files that are there stay, and what it wrote for asv works on a suite."""

import ast
import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch

from laimbench.cli import main

SUITE = """
SIZES = [1, 2]
def speed_sum():
    return {"ours": lambda: sum(range(100)), "stock": lambda: sum(range(1000))}
def speed_alone():
    return lambda: sum(range(100))
def learn_line(size, seed):
    yield {"numbers": {"loss: first": 1.0}}
    yield {"flops": 1e9 * size, "loss": 2.0 / size + seed / 100}
"""


@pytest.fixture
def repository(tmp_path):
    assert main(["init-tracking", str(tmp_path), "--package", "my_kernels"]) == 0
    return tmp_path


def test_the_files_name_the_package_and_are_whole(repository):
    names = ("laimbench_track.py", "benchmarks/suite.py", "asv.conf.json", ".github/workflows/track.yml")
    contents = {name: (repository / name).read_text(encoding="utf-8") for name in names}
    for content in contents.values():
        assert "PACKAGE" not in content and "TORCH_VERSION" not in content
    ast.parse(contents["laimbench_track.py"])
    assert "import my_kernels" in contents["laimbench_track.py"]
    load_json = pytest.importorskip("asv.util").load_json
    found = load_json(str(repository / "asv.conf.json"), js_comments=True)
    assert (found["project"], found["benchmark_dir"]) == ("my_kernels", "benchmarks")
    assert found["matrix"]["req"]["torch"] == [torch.__version__.partition("+")[0]]


def test_what_is_there_stays(repository, capsys):
    (repository / "laimbench_track.py").write_text("mine", encoding="utf-8")
    assert main(["init-tracking", str(repository)]) == 0
    assert (repository / "laimbench_track.py").read_text(encoding="utf-8") == "mine"
    assert capsys.readouterr().out.count("kept") >= 4


def test_asv_s_benchmarks_are_those_of_the_suite(repository):
    (repository / "laimbench_track.py").write_text(SUITE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("asv_suite", repository / "benchmarks" / "suite.py")
    suite = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(suite)
    assert suite.Speed.params == ["sum", "alone"]
    speed = suite.Speed()
    speed.setup("sum")
    assert speed.track_speedup("sum") > 0 and speed.track_seconds("sum") > 0
    speed.setup("alone")
    assert speed.track_speedup("alone") != speed.track_speedup("alone")  # no stock, no ratio
    runs = suite.Runs()
    found = runs.setup_cache()
    assert len(found) == 2 * 3 and runs.params == (["line"], [1, 2], [0, 1, 2])
    assert (runs.track_final_loss(found, "line", 2, 1), runs.track_flops(found, "line", 2, 1)) == (1.01, 2e9)


def test_asv_finds_the_benchmarks(repository):
    pytest.importorskip("asv")
    (repository / "laimbench_track.py").write_text(SUITE, encoding="utf-8")
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    command = [sys.executable, "-m", "asv", "run", "--python", "same", "--machine", "one", "--quick", "--show-stderr"]
    machine = {"one": {"machine": "one", "arch": "", "cpu": "", "num_cpu": "1", "os": "", "ram": "1"}, "version": 1}
    (repository / ".asv-machine.json").write_text(json.dumps(machine))
    done = subprocess.run(
        command,
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(repository)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "suite.Speed.track_speedup" in done.stdout and "suite.Runs.track_final_loss" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"), [(["missing"], "no such folder"), ([".", "--package", "a-b"], "package is 'a-b'")]
)
def test_wrong_input_is_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["init-tracking", *arguments]) == 2
    assert message in capsys.readouterr().err
