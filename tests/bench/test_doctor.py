import builtins
import json
import sys

import pytest
import torch

from laimbench.cli import main


def checks(capsys):
    code = main(["doctor", "--json", "-"])
    document = json.loads(capsys.readouterr().out)
    return code, document["usable"], {row["what"]: row for row in document["checks"]}


def test_a_whole_installation_is_usable(capsys):
    pytest.importorskip("laimbench._C")
    code, usable, rows = checks(capsys)
    assert (code, usable) == (0, True)
    assert rows["torch"]["found"] == torch.__version__
    assert rows["instruction set"]["found"].split()[0] in ("scalar", "avx2", "avx512", "avx512bf16")


def test_without_the_extension_it_says_so_and_fails(capsys, monkeypatch):
    real = builtins.__import__

    def without(name, globals=None, locals=None, fromlist=(), level=0):
        if name == "laimbench" and "_C" in (fromlist or ()):
            raise ImportError("cannot import name '_C'")
        return real(name, globals, locals, fromlist, level)

    for name in [name for name in sys.modules if name == "laimbench._C" or name.startswith("laimbench.ops")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    code, usable, rows = checks(capsys)
    assert (code, usable) == (1, False)
    assert rows["torch"]["ok"] and not rows["kernels"]["ok"]
    assert "pip install ." in rows["kernels"]["found"]


def test_a_cache_that_cannot_be_written_is_named(capsys, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("LAIMBENCH_CACHE", str(blocked / "cache"))
    _, _, rows = checks(capsys)
    assert not rows["cache"]["ok"] and str(blocked) in rows["cache"]["found"]
