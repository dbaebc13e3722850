import subprocess

import pytest

from laimbench.errors import InputError, RunError
from laimbench.track import bisect as search
from laimbench.track.builds import build, resolve
from laimbench.track.compare import Settings
from laimbench.track.process import Side

# A build backend that needs nothing: it writes a wheel of one module.
BACKEND = """
import pathlib, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    if "does not build" in pathlib.Path("thing.py").read_text():
        raise SystemExit("error: thing.py does not build")
    name = "thing-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.write("thing.py")
        wheel.writestr("thing-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: thing\\nVersion: 1\\n")
        wheel.writestr("thing-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("thing-1.dist-info/RECORD", "")
    return name
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def git(repository, *arguments):
    command = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("LAIMBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


def commit(repository, content, message="change"):
    (repository / "thing.py").write_text(content)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "--allow-empty", "-m", message)
    return git(repository, "rev-parse", "HEAD")


def test_a_commit_is_built_once_and_the_working_tree_as_it_is(repository):
    first = commit(repository, "VALUE = 1\n")
    side = build(repository, "HEAD")
    assert (side.folder / "thing.py").read_text() == "VALUE = 1\n"
    assert side.label == f"HEAD ({first[:10]})"
    (side.folder / "mark").touch()
    assert (build(repository, first).folder / "mark").exists()
    (repository / "thing.py").write_text("VALUE = 2\n")
    assert (build(repository, ".").folder / "thing.py").read_text() == "VALUE = 2\n"
    assert (repository / "thing.py").read_text() == "VALUE = 2\n"
    assert git(repository, "status", "--porcelain") == "M thing.py"


def test_what_does_not_build_is_said_with_its_log(repository):
    commit(repository, "does not build\n")
    with pytest.raises(RunError, match=r"does not build: .*thing.py does not build.* \(all of it: .*\.log\)"):
        build(repository, "HEAD")


@pytest.mark.parametrize("revision", ["nothing", "--all", "HEAD~3"])
def test_no_commit(repository, revision):
    commit(repository, "VALUE = 1\n")
    with pytest.raises(InputError, match="is not a commit of"):
        resolve(repository, revision)


SUITE = """
import thing
def learn_line(size, seed):
    yield {"numbers": {"gradient: w": thing.VALUE}}
    yield {"flops": 1e9, "loss": 1.0}
"""


def history(repository, planted, unbuildable=(), length=32):
    commits = [commit(repository, "VALUE = 1.0\n")]
    for n in range(length):
        value = 1.0 if n < planted else 2.0
        commits.append(commit(repository, f"VALUE = {value}  # {n}{' does not build' if n in unbuildable else ''}\n", f"change {n}"))  # fmt: skip
    return commits


def checkout(repository, revision):
    """Stands for a build: the file of the commit."""
    content = git(repository, "show", f"{revision}:thing.py")
    if "does not build" in content:
        raise RunError(f"{revision[:10]} does not build")
    folder = repository.parent / "sides" / revision
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "thing.py").write_text(content)
    return Side(revision[:10], folder)


@pytest.mark.parametrize(("planted", "unbuildable"), [(21, ()), (17, (15, 16, 18))])
def test_a_planted_commit_among_32_is_found_by_seven_builds(repository, tmp_path, planted, unbuildable):
    commits = history(repository, planted, unbuildable)
    suite = tmp_path / "suite.py"
    suite.write_text(SUITE)
    told = []
    found = search.bisect(repository, commits[0], "HEAD", suite, Settings(), heard=told.append, built=checkout)
    assert found.subject == f"change {planted}"
    assert "gradient: w" in found.why
    assert found.built <= 7
    assert len(told) == len(found.skipped) + found.built - 1
    assert found.suspects == [commits[1 + n] for n in (15, 16) if n in unbuildable]


def test_nothing_to_find_is_said(repository, tmp_path):
    commits = history(repository, 99, length=5)
    suite = tmp_path / "suite.py"
    suite.write_text(SUITE)
    with pytest.raises(InputError, match="no worse than"):
        search.bisect(repository, commits[0], commits[5], suite, Settings(), built=checkout)
    with pytest.raises(InputError, match="does not follow"):
        search.bisect(repository, commits[5], commits[0], suite, Settings(), built=checkout)
