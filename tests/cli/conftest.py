import pytest

from laimbench.cli import main

LADDER = """
name = "tiny"
family = "mlp"
data = "builtin:digits"
seeds = [0, 1]
tokens = [320, 640]
[[sizes]]
width = 8
[[sizes]]
width = 16
[train]
batch_size = 32
evals = 2
"""


@pytest.fixture
def ladder_file(tmp_path):
    path = tmp_path / "ladder.toml"
    path.write_text(LADDER)
    return path


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """A store with the tiny ladder trained; for reading only."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "ladder.toml").write_text(LADDER)
    assert main(["sweep", str(folder / "ladder.toml"), "--store", str(folder / "runs.sqlite")]) == 0
    return folder / "runs.sqlite"


@pytest.fixture
def fails(capsys):
    """Run a command line that must fail with this code and one line of error; return the line."""

    def check(code, *arguments):
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == code
        captured = capsys.readouterr()
        lines = captured.err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: ") and "Traceback" not in captured.out
        return lines[0]

    return check
