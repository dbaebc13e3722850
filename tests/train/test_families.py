"""Every family is trained by one dial, on its own data, and learns the same with laim and with stock."""

import wave
from dataclasses import replace

import numpy as np
import pytest

from laimbench.errors import InputError
from laimbench.models.presets import PRESETS
from laimbench.train import RunConfig, Trainer, describe
from laimbench.train.rules import FAMILIES, default_heads


@pytest.fixture
def tones(tmp_path):
    """Wav files of three classes: tones of three heights."""
    generator = np.random.default_rng(0)
    for name, hertz in (("high", 1500), ("low", 200), ("middle", 600)):
        (tmp_path / name).mkdir()
        for i in range(20):
            time = np.arange(int(generator.integers(1600, 4000))) / 16_000
            samples = 8000 * np.sin(2 * np.pi * hertz * generator.uniform(0.9, 1.1) * time) + generator.normal(
                0, 500, len(time)
            )
            with wave.open(str(tmp_path / name / f"{i}.wav"), "wb") as stream:
                stream.setparams((1, 2, 16_000, 0, "NONE", ""))
                stream.writeframes(samples.astype("<i2").tobytes())
    return f"dir:{tmp_path}"


SMALL = {
    "gpt": {"width": 32, "depth": 1, "vocab_size": 300, "seqlen": 32, "tokens": 8192, "batch_size": 8},
    "llama": {"family": "gpt", "width": 32, "depth": 1, "vocab_size": 300, "seqlen": 32, "tokens": 8192, "batch_size": 8,
              "norm": "rms", "mlp": "swiglu", "positions": "rotary", "heads": 2, "kv_heads": 1},
    "bert": {"width": 32, "depth": 1, "vocab_size": 300, "seqlen": 32, "tokens": 16_384, "batch_size": 16},
    "transformer": {"width": 32, "depth": 1, "tokens": 1024},
    "vit": {"width": 32, "depth": 1, "tokens": 4096},
    "audio": {"width": 32, "depth": 1, "tokens": 1024, "seconds": 0.25, "lr": 5e-3},
    "mlp": {"width": 32, "tokens": 4096},
}  # fmt: skip


@pytest.fixture
def config(request, corpus, tones):
    values = {"family": request.param, "evals": 2, "eval_tokens": 2048, **SMALL[request.param]}
    text = {"gpt": corpus, "bert": corpus, "audio": tones}
    return RunConfig.from_dict({**values, **({"data": text[values["family"]]} if values["family"] in text else {})})


def losses(config):
    trainer, found = Trainer(config), []
    while not trainer.finished:
        found.append(trainer.advance().val_loss)
    return trainer, found


@pytest.mark.parametrize("config", SMALL, indirect=True)
def test_laim_and_stock_learn_the_same(config):
    curves = {
        backend: np.array([losses(replace(config, backend=backend, seed=seed))[1] for seed in (0, 1, 2)])
        for backend in ("laim", "torch")
    }
    spread = curves["torch"].std(axis=0, ddof=1)
    difference = np.abs((curves["laim"] - curves["torch"]).mean(axis=0))
    assert (difference <= spread + 1e-6).all(), (difference, spread)
    assert curves["laim"][:, -1].mean() < 0.97 * curves["laim"][:, 0].mean()


@pytest.mark.parametrize("config", SMALL, indirect=True)
def test_a_description_is_the_model_without_its_memory(config):
    built, described = Trainer(replace(config, backend="torch")), describe(config)
    assert (described.params, described.params_non_embedding) == (built.params, built.params_non_embedding)
    assert described.flops_per_step == built.flops_per_step


@pytest.mark.parametrize("config", ["audio"], indirect=True)
def test_tones_are_told_apart(config):
    trainer, _ = losses(replace(config, tokens=4096))
    assert trainer.summary()["accuracy"] == 1.0


def test_masked_tokens_are_what_devlin_et_al_say(corpus):
    task = Trainer(RunConfig.from_dict({"family": "bert", "data": corpus, "width": 32, "depth": 1, "vocab_size": 300,
                                        "seqlen": 101, "batch_size": 64, "backend": "torch", "eval_tokens": 101})).task  # fmt: skip
    tokens, positions, targets = task.batch(0)
    assert (tokens[:, 0] == task.special.cls).all() and positions.shape == (64, 15)
    assert positions.min() >= 1 and all(len(set(row.tolist())) == 15 for row in positions)
    shown = tokens.gather(1, positions)
    hidden, kept = (shown == task.special.mask).float().mean(), (shown == targets).float().mean()
    assert 0.76 < hidden < 0.84 and 0.07 < kept < 0.13
    rest = tokens.clone().scatter(1, positions, targets)
    assert (rest[:, 1:] < 300).all() and not (rest != tokens).sum() > 64 * 15
    assert not (task.batch(0)[0] != tokens).any() and (task.batch(1)[0] != tokens).any()


def test_one_dial_gives_a_model():
    small = RunConfig.from_dict({"family": "vit", "size": 3})
    assert (small.depth, small.width, small.head_count, small.data) == (3, 192, 3, "builtin:digits")
    assert RunConfig.from_dict({"family": "mlp", "size": "50"}).width == 50
    assert RunConfig.from_dict({"family": "gpt", "size": 2, "width": 96}).width == 96
    assert all(width % default_heads(width) == 0 for width in range(64, 2049, 64))
    assert RunConfig.from_dict({"family": "mlp"}).total_steps * 32 == pytest.approx(10 * 1438, rel=0.01)  # ten epochs


@pytest.mark.parametrize("name", [name for name, shape in PRESETS.items() if shape["family"] in ("gpt", "bert")])
def test_presets_have_their_published_parameters(name, monkeypatch):
    """Of the papers and model cards, in millions; position embeddings included where the model has them."""
    published = {"gpt2": 124, "gpt2-medium": 355, "gpt2-large": 774, "gpt2-xl": 1558, "gpt3-small": 125, "gpt3-xl": 1316,
                 "gpt3-6.7b": 6658, "gpt3-13b": 12_853, "gpt3-175b": 174_600, "llama-7b": 6738, "llama-13b": 13_016,
                 "llama2-70b": 68_977, "llama3-8b": 8030, "bert-base": 110, "bert-large": 335}  # fmt: skip

    class Source:
        notes, vocab_size = (), PRESETS[name]["vocab_size"]

    for task in ("gpt", "bert"):
        monkeypatch.setattr(f"laimbench.train.tasks.{task}.load_windows", lambda *_: Source)
    described = describe(RunConfig.from_dict({"family": PRESETS[name]["family"], "size": name}))
    assert described.params / 1e6 == pytest.approx(published[name], rel=0.01)


@pytest.mark.parametrize(
    ("values", "word"),
    [({"size": "gpt9"}, "gpt2"), ({"size": 0}, "size is 0"), ({"family": "rnn"}, "family"),
     ({"family": "vit", "kv_heads": 2}, "kv_heads"), ({"family": "bert", "positions": "rotary"}, "positions"),
     ({"schedule": "step"}, "schedule"), ({"label_smoothing": 2.0}, "label_smoothing"), ({"tied": 1}, "tied"),
     ({"family": "vit", "size": "gpt2"}, "vit-b16")],
)  # fmt: skip
def test_wrong_configurations_are_named(values, word):
    with pytest.raises(InputError, match=word):
        RunConfig.from_dict(values)


def test_every_family_has_a_task():
    from laimbench.train.tasks import TASKS

    assert TASKS.keys() == FAMILIES.keys()
