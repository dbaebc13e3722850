import json

import pytest

from laimbench.cli import main

SUITE = """
import thing
def speed_add():
    return lambda: sum(range(200))
def learn_line(size, seed):
    yield {"numbers": {"gradient: w": thing.VALUE}}
    yield {"flops": 1e9, "loss": 1.0 + seed / 100}
"""


@pytest.fixture
def sides(tmp_path):
    (tmp_path / "suite.py").write_text(SUITE)
    for name, value in (("A", 1), ("B", 1), ("C", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thing.py").write_text(f"VALUE = {value}\n")
    return tmp_path


def run(sides, b, *more):
    return main(["track", str(sides / "A"), str(sides / b), "--suite", str(sides / "suite.py"), *more])


def test_the_exit_code_and_the_documents_say_the_verdict(sides, capsys):
    assert run(sides, "B", "--only", "line", "--json", str(sides / "b.json")) == 0
    assert run(sides, "C", "--only", "line", "--json", str(sides / "c.json"), "--markdown", str(sides / "c.md")) == 3
    assert run(sides, "C", "--only", "line", "--allow-changes") == 0
    b, c = (json.loads((sides / name).read_text()) for name in ("b.json", "c.json"))
    assert (b["verdict"]["learning"], c["verdict"]["learning"]) == ("same", "changed")
    assert b["verdict"]["speed"] == "not measured"
    assert c["learning"][0]["first_difference"]["name"] == "gradient: w"
    assert "computes something else" in (sides / "c.md").read_text()
    assert "computes something else" in capsys.readouterr().out


def test_a_round_of_timing_is_undecided_and_told(sides, capsys):
    assert run(sides, "B", "--only", "add", "--rounds", "1", "--json", "-") == 4
    row = json.loads(capsys.readouterr().out)["speed"][0]
    assert (row["verdict"], row["rounds"], row["interval"]) == ("undecided", 1, [None, None])
    assert row["time_ratio"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["A", "nothing"], "'nothing' is not a commit of"),
        (["A", "B", "--suite", "missing.py"], "missing.py: no such file, expected a suite"),
        (["A", "B", "--only", "mul"], "no benchmark named mul; it has add, line"),
        (["A", "B", "--alpha", "2"], "alpha is 2.0"),
        (["A", "B", "--rounds", "0"], "rounds is 0"),
    ],
)
def test_wrong_input_is_one_line(sides, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(sides)
    suite = [] if "--suite" in arguments else ["--suite", "suite.py"]
    assert main(["track", *arguments, *suite]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
