import pytest

from laimbench.errors import RunError
from laimbench.track.process import Process, Side

SUITE = """
import thing
SIZES = [1, 2]
def speed_add():
    print("noise on standard output")
    return {"ours": lambda: thing.VALUE + 1, "stock": lambda: 1 + 1}
def speed_plain():
    return lambda: None
def learn_line(size, seed):
    yield {"numbers": {"value: all": thing.VALUE}}
    yield {"flops": size * 10, "loss": thing.VALUE / size + seed}
def learn_broken(size, seed):
    raise ValueError("not today")
def learn_gone(size, seed):
    import os
    os._exit(7)
    yield
"""


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "suite.py"
    path.write_text(SUITE)
    return path


def side(tmp_path, value, label="A"):
    folder = tmp_path / label
    folder.mkdir(exist_ok=True)
    (folder / "thing.py").write_text(f"VALUE = {value}\n")
    return Side(label, folder)


def test_each_side_imports_its_own_build(tmp_path, suite):
    with Process(side(tmp_path, 1), suite, 1) as a, Process(side(tmp_path, 5, "B"), suite, 1) as b:
        losses = [p.stream("learn", name="line", size=2, seed=1)[-1]["point"]["loss"] for p in (a, b)]
    assert losses == [1.5, 3.5]


def test_the_build_is_measured_and_not_the_sources_beside_the_suite(tmp_path, suite):
    (tmp_path / "thing.py").write_text("VALUE = 99\n")
    with Process(side(tmp_path, 1), suite, 1) as process:
        assert process.stream("learn", name="line", size=1, seed=0)[-1]["point"]["loss"] == 1


def test_what_a_suite_holds_and_prints(tmp_path, suite):
    with Process(side(tmp_path, 1), suite, 1) as process:
        assert process.ask("list")["speed"] == ["add", "plain"]
        assert process.ask("list")["sizes"] == [1, 2]
        calls = process.ask("prepare", name="add")["calls"]
        assert set(calls) == {"ours", "stock"}
        assert process.ask("time", name="add", which="ours", calls=3)["seconds"] > 0
        assert set(process.ask("prepare", name="plain")["calls"]) == {"ours"}


def test_failures_name_the_side_and_the_reason(tmp_path, suite):
    with Process(side(tmp_path, 1), suite, 1) as process, pytest.raises(RunError, match=r"^A: ValueError: not today$"):
        process.stream("learn", name="broken", size=1, seed=0)
    with (
        Process(side(tmp_path, 1), suite, 1) as process,
        pytest.raises(RunError, match="A: the process ended with code 7"),
    ):
        process.stream("learn", name="gone", size=1, seed=0)
    empty = Side("B", tmp_path / "B")
    empty.folder.mkdir()
    with (
        Process(empty, suite, 1) as process,
        pytest.raises(RunError, match="B: ModuleNotFoundError: No module named 'thing'"),
    ):
        process.wait()
