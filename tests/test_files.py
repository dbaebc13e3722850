"""Folders that appear whole: what killed processes leave, and what living ones are at."""

import errno
import subprocess
import sys

import pytest

from laimbench.files import whole_folder


def test_what_a_killed_process_had_begun_is_removed_and_what_a_living_one_fills_is_not(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom laimbench.files import whole_folder\n"
        "with whole_folder(Path(sys.argv[1]), 'a test', lambda path: True) as fresh:\n"
        "    (fresh / 'half').write_text('')\n    os.kill(os.getpid(), 9)"
    )
    for name in ("model", "models"):
        assert subprocess.run([sys.executable, "-c", code, tmp_path / name], check=False).returncode == -9
    with (
        whole_folder(tmp_path / "model", "a test", lambda path: True) as living,
        whole_folder(tmp_path / "model", "a test", lambda path: True) as other,
    ):
        assert living.is_dir() and other.is_dir()
        (other / "whole").write_text("")
    found = sorted(path.name for path in tmp_path.iterdir())
    assert (
        len(found) == 2 and found[0].startswith(".models.") and found[1] == "model"
    )  # one of another name is not looked at


def test_where_folders_have_no_locks_nothing_is_removed(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.EBADF, "Bad file descriptor")  # as of NFS

    monkeypatch.setattr("fcntl.flock", none)
    (tmp_path / ".model.half").mkdir()
    with whole_folder(tmp_path / "model", "a test", lambda path: True) as fresh:
        (fresh / "whole").write_text("")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model.half", "model"]


def test_a_failure_leaves_what_was_there(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("")
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "model", "a test", lambda path: True) as fresh:
        (fresh / "new").write_text("")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["model"] and (tmp_path / "model" / "old").exists()
