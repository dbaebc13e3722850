"""Checkpoints: what was saved is what is loaded; what is damaged is named and never loaded."""

import json
from dataclasses import replace

import pytest
import torch

from laimbench.errors import InputError
from laimbench.train import RunConfig, Trainer, load_checkpoint, save_checkpoint


@pytest.fixture
def trained(corpus, tmp_path):
    config = RunConfig(width=32, depth=1, data=corpus, vocab_size=300, seqlen=32, batch_size=8, tokens=2048, evals=1,
                       eval_tokens=512, backend="torch")  # fmt: skip
    trainer = Trainer(config)
    while not trainer.finished:
        state = trainer.advance().to_dict()
    digest = save_checkpoint(tmp_path / "model", trainer, state)
    return trainer, tmp_path / "model", digest, state


def test_a_checkpoint_gives_the_model_back(trained):
    trainer, folder, digest, state = trained
    for backend in (None, "laim"):
        loaded = load_checkpoint(folder, backend)
        assert loaded.config == replace(trainer.config, backend=backend or "torch") and loaded.sha256 == digest
        assert loaded.state == state and loaded.tokenizer_path.exists()
        for (name, p), q in zip(loaded.model.named_parameters(), trainer.model.parameters(), strict=True):
            assert torch.equal(p, q), name
        assert loaded.model.head.weight is loaded.model.tokens.weight
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "laimbench.json", "tokenizer.json"}
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".model")] == []


def test_a_checkpoint_replaces_a_checkpoint_and_nothing_else(trained, tmp_path):
    trainer, folder, digest, state = trained
    assert save_checkpoint(folder, trainer, state) == digest
    load_checkpoint(folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("dear")
    with pytest.raises(InputError, match="something else"):
        save_checkpoint(tmp_path / "mine", trainer, state)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "dear"


def test_training_starts_from_a_checkpoint(trained):
    trainer, folder, _, state = trained
    again = Trainer(replace(trainer.config, start=str(folder)))
    assert again.advance().val_loss == pytest.approx(state["val_loss"], rel=1e-6)
    assert "of 16 weights" in again.notes[-1] and "fresh" not in again.notes[-1]
    wider = Trainer(replace(trainer.config, start=str(folder), depth=2))
    assert "fresh: stack.blocks.1" in wider.notes[-1]
    with pytest.raises(InputError, match="no weights"):
        Trainer(RunConfig.from_dict({"family": "mlp", "start": str(folder)}))


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda f: (f / "laimbench.json").unlink(), "not a checkpoint"),
        (lambda f: (f / "laimbench.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "laimbench.json").write_text("[]"), "format"),
        (lambda f: change(f / "laimbench.json", format=2), "format"),
        (lambda f: change(f / "laimbench.json", facts=3), "facts"),
        (lambda f: change(f / "laimbench.json", facts={}), "vocab_size"),
        (lambda f: change(f / "laimbench.json", config={"widht": 3}), "widht"),
        (lambda f: (f / "model.safetensors").unlink(), "cannot be read"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 100), "SHA-256"),
    ],
)
def test_damage_is_named(trained, damage, word):
    folder = trained[1]
    damage(folder)
    with pytest.raises(InputError, match=word):
        load_checkpoint(folder)


def test_weights_of_another_shape_are_refused(trained):
    folder = trained[1]
    change(
        folder / "laimbench.json", config={**json.loads((folder / "laimbench.json").read_text())["config"], "depth": 2}
    )
    with pytest.raises(InputError, match="missing"):
        load_checkpoint(folder)
    change(
        folder / "laimbench.json",
        config={**json.loads((folder / "laimbench.json").read_text())["config"], "depth": 1, "seqlen": 33},
    )
    with pytest.raises(InputError, match=r"positions.weight is \(32, 32\), expected \(33, 32\)"):
        load_checkpoint(folder)
