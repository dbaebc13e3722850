"""What tests of data from the standard library share."""

import sysconfig
from pathlib import Path

import pytest

from laimbench.data import load_tokens


@pytest.fixture(scope="session")
def modules(tmp_path_factory):
    """Fifty modules of the library, so that a test need not read all of it."""
    folder = tmp_path_factory.mktemp("stdlib")
    paths = [p for p in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")) if p.stat().st_size < 60_000]
    for path in paths[:50]:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def small_library(modules, monkeypatch):
    """Let builtin:python be these modules."""
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(modules)})
    load_tokens.cache_clear()
    yield modules
    load_tokens.cache_clear()
