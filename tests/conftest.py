"""What all tests share."""

import pytest
import torch

from tests.postgres import serving


@pytest.fixture(autouse=True)
def two_threads():
    """Fix the threads, so that a test means the same on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A small folder of text with structure to learn, as a source name."""
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(12):
        lines = [f"def function_{i}_{j}(value):\n    return value + {j}\n\n" for j in range(120)]
        (folder / f"part{i}.py").write_text("".join(lines))
    return f"dir:{folder}"


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Keep tokenised corpora out of the user's cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("LAIMBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server for all tests that want one."""
    with serving() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    """Where there is no store yet, in each kind of database."""
    if request.param == "sqlite":
        return str(tmp_path / "runs.sqlite")
    return request.getfixturevalue("postgres").new_database()
