"""``laimbench eval`` and ``audit --model``: what is printed, kept and shown; one line for what is wrong."""

import json

import numpy as np
import pytest
import torch

from laimbench.cli import main
from laimbench.data import load_windows
from laimbench.errors import InputError
from laimbench.evaluate.language_model import CheckpointModel
from laimbench.evaluate.section import DOCUMENT_KIND, evaluation_section
from laimbench.store import Store
from laimbench.train import load_checkpoint
from tests.report.test_page import HOSTILE, Page

TEMPLATES = """
templates = ["{} is here", "{} returns a value", "{} has a function"]
[groups]
first = ["value", "def"]
second = ["return", "function"]
"""


def test_eval_prints_keeps_and_reports(digits, gpt, tmp_path, capsys):
    store = tmp_path / "runs.sqlite"
    assert main(["eval", str(digits), "--items", "100", "--store", str(store), "--json", "-"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert "100 held-out items" in captured.err and "By class" in captured.err and "macro f1" in captured.err
    assert document["sha256"] == load_checkpoint(digits).sha256 and document["machine"]["python"]
    assert main(["eval", str(gpt), "--eval-tokens", "640", "--compare", "ngram", "--store", str(store)]) == 0
    printed = capsys.readouterr().out
    assert "bits per byte" in printed and "Loss by position" in printed and "model less Kneser-Ney 5-gram" in printed
    with Store(store) as opened:
        kept = opened.documents(DOCUMENT_KIND)
    assert kept[0] == document and len(kept) == 2
    shown = " ".join(Page(evaluation_section(kept)).text)
    accuracy = document["figures"][0]
    assert f"{accuracy['value']:.4f}" in shown and "model less Kneser-Ney 5-gram" in shown and "By class" in shown
    assert evaluation_section([]) == ""


def test_the_section_has_the_newest_and_is_inert(digits):
    def one(value):
        return {"checkpoint": HOSTILE, "sha256": "a", "data": HOSTILE, "config": {"family": HOSTILE, "backend": HOSTILE},
                "comparisons": [], "figures": [{"name": HOSTILE, "unit": HOSTILE, "value": value}],
                "details": {"per_class": [{"class": HOSTILE, "items": 1, "precision": None, "recall": 1.0, "f1": 1.0}]}}  # fmt: skip

    page = Page(evaluation_section([one(0.25), one(0.75)]))
    assert not {"script", "img"} & set(page.tags) and page.handlers == []
    assert "0.7500" in page.text and "0.2500" not in page.text and HOSTILE in page.text


def test_errors_of_eval_and_audit(digits, markov, corpus, tmp_path, capsys):
    templates = tmp_path / "t.toml"
    templates.write_text(TEMPLATES)
    for arguments, said in (
        (["eval", tmp_path], "not a checkpoint"),
        (["eval", digits, "--compare", "ngram"], "for a gpt"),
        (["eval", digits, "--data", "synthetic:markov"], "not a directory"),
        (["audit", corpus, "--model", digits], "family mlp, expected gpt"),
        (["audit", corpus, "--templates", templates], "expected --model"),
        (["audit", corpus, "--model", markov, "--templates", templates], "no tokenizer.json"),
    ):
        assert main([str(one) for one in arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: ") and said in lines[0]


def test_an_audit_probes_the_model(gpt, corpus, tmp_path, capsys):
    templates = tmp_path / "t.toml"
    templates.write_text(TEMPLATES)
    arguments = ["audit", corpus, "--model", str(gpt), "--templates", str(templates), "--json", "-"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["memorisation"]["prefix"] == 22 and document["memorisation"]["continuation"] == 11
    assert document["memorisation"]["training"]["windows"] == 256
    assert document["bias"][0]["first"] == "first" and len(document["bias"][0]["by_template"]) == 3
    assert "over templates" in captured.err and f"{document['memorisation']['difference']:+.4f}" in captured.err


@torch.no_grad()
def test_the_adapter_against_the_model_itself(gpt):
    checkpoint = load_checkpoint(gpt)
    adapter, model = CheckpointModel(checkpoint.model), checkpoint.model
    windows = load_windows(checkpoint.config.data, 300).validation_windows(5, 20)
    logits = model.logits(torch.from_numpy(windows[:, :-1])).double().log_softmax(-1).numpy()
    expected = -np.take_along_axis(logits, windows[:, 1:, None], 2)[..., 0]
    assert adapter.losses(windows) == pytest.approx(expected, abs=1e-4)
    tokens = torch.from_numpy(windows[:, :8])
    for _ in range(25):  # 8 and 25 are seqlen + 1
        tokens = torch.cat([tokens, model.logits(tokens)[:, -1].argmax(-1, keepdim=True)], 1)
    assert adapter.continue_greedily(windows[:, :8], 25).tolist() == tokens[:, 8:].tolist()
    with pytest.raises(InputError, match="at most 33"):
        adapter.continue_greedily(windows[:, :8], 26)
