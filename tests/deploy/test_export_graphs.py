"""Graphs of torch.export and ONNX compute what the model does, at sizes other than the one they were traced at."""

import pytest
import torch

from laimbench.cli import main
from laimbench.deploy.export import export_onnx, export_torch
from laimbench.deploy.export.logits import logits_of
from laimbench.deploy.export.onnx import evaluate
from laimbench.errors import InputError, RunError
from tests.deploy.export_cases import judge, make, model_of

# Every family, every op and both backends once: a trace takes seconds.
GRAPHS = {
    "llama": "laim",
    "bert-classes": "laim",
    "transformer": "torch",
    "audio": "torch",
    "vit": "torch",
    "mlp": "torch",
}


@torch.no_grad()
@pytest.mark.parametrize(("name", "backend"), GRAPHS.items())
def test_torch_export(name, backend, tmp_path):
    folder, out = make(name, tmp_path / "model", depth=2 if name == "mlp" else 1), tmp_path / "model.pt2"
    found = export_torch(folder, out, backend)
    assert found.equal
    logits, program = logits_of(model_of(folder)), torch.export.load(out)
    inputs = logits.sample(4, logits.longest, seed=9)
    exact = logits.double()(*(x.double() if x.is_floating_point() else x for x in inputs))
    judge(logits.float()(*inputs), program.module()(*inputs), exact)
    kinds = {str(node.target).split(".")[0] for node in program.graph.nodes if node.op == "call_function"}
    assert ("laimbench" in kinds) == (backend == "laim")


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "bert"])
def test_onnx(name, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    folder, out = make(name, tmp_path / "model", depth=1), tmp_path / "model.onnx"
    assert export_onnx(folder, out).equal
    logits = logits_of(model_of(folder))
    inputs = logits.sample(4, logits.longest, seed=9)
    written = torch.from_numpy(evaluate(out, dict(zip(logits.inputs, inputs, strict=True))))
    exact = logits.double()(*(x.double() if x.is_floating_point() else x for x in inputs))
    judge(logits.float()(*inputs), written, exact)


def test_what_is_refused(tmp_path, monkeypatch, capsys):
    folder = make("mlp", tmp_path / "model")
    for export, suffix in ((export_torch, ".pt2"), (export_onnx, ".onnx")):
        with pytest.raises(InputError, match=f"ends in {suffix}"):
            export(folder, tmp_path / "model.bin")
    with pytest.raises(InputError, match="backend is 'compile'"):
        export_torch(folder, tmp_path / "model.pt2", "compile")
    assert main(["export", str(folder), str(tmp_path / "x.onnx"), "--format", "onnx", "--backend", "laim"]) == 2
    assert "backend is 'laim'" in capsys.readouterr().err
    monkeypatch.setattr("laimbench.deploy.export.onnx.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"onnx and onnxscript not installed.*laimbench\[export\]"):
        export_onnx(folder, tmp_path / "model.onnx")


def test_a_graph_that_cannot_be_traced_leaves_nothing(tmp_path, monkeypatch):
    from laimbench.deploy.export import torch_export

    def fails(logits):
        raise ValueError("no such op\nsecond line")

    monkeypatch.setattr(torch_export, "traced", fails)
    with pytest.raises(RunError, match=r"cannot be exported \(no such op\)$"):
        export_torch(make("mlp", tmp_path / "model"), tmp_path / "model.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
