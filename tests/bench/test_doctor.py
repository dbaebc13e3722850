import builtins
import json
import sys
from types import SimpleNamespace

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
    assert rows["instruction set"]["found"].split()[0] in ("scalar", "avx2", "avx512", "avx512bf16", "amx")


def test_every_gpu_is_named_or_why_there_is_none(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for version, why in ((None, "this torch is a CPU build"), ("13.0", "nvidia-smi")):
        monkeypatch.setattr("torch.version.cuda", version)
        row = checks(capsys)[2]["CUDA device"]
        assert not row["ok"] and why in row["found"]
    gpu = SimpleNamespace(name="NVIDIA H100", total_memory=80 << 30, major=9, minor=0)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda number: gpu)
    rows = checks(capsys)[2]
    assert [rows[f"CUDA device {number}"]["found"] for number in (0, 1)] == ["NVIDIA H100, 80 GiB, sm_90"] * 2
    assert rows["CUDA"]["found"].startswith("13.0, driver ")


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
