"""Small checkpoints, trained in seconds."""

import json
import wave

import numpy as np
import pytest
import torch

from laimbench.data.pairs import load_pairs
from laimbench.deploy import Generator
from laimbench.train import RunConfig, Trainer, load_checkpoint, save_checkpoint
from laimbench.train.checkpoint import write_checkpoint
from laimbench.train.tasks import TASKS

RATE = 16_000


@pytest.fixture(scope="session", autouse=True)
def two_threads():
    """One thread: models so small gain nothing by a second one, and wait for it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(folder, **values):
    """Train a run and return its checkpoint's folder."""
    trainer = Trainer(RunConfig.from_dict({"evals": 1, "eval_tokens": 64, **values}))
    while not trainer.finished:
        evaluation = trainer.advance()
    save_checkpoint(folder, trainer, evaluation.to_dict())
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def gpt(models):
    """A gpt of 48 tokens of context, on text with characters of one to four bytes that its tokenizer has not merged."""
    texts = models / "texts"
    texts.mkdir()
    for i in range(8):
        (texts / f"{i}.txt").write_text("".join(f"line {i * j} of naïve text 日本 🎉\n" for j in range(60)))
    return trained(models / "tiny-gpt", data=f"dir:{texts}", vocab_size=260, width=32, depth=1, seqlen=48,
                   batch_size=4, tokens=8000)  # fmt: skip


@pytest.fixture(scope="session")
def generator(gpt):
    return Generator(load_checkpoint(gpt))


@pytest.fixture(scope="session")
def mlp(models):
    return trained(models / "mlp", family="mlp", width=32, tokens=8000)


@pytest.fixture(scope="session")
def vit(models):
    return trained(models / "vit", family="vit", width=16, depth=1, tokens=2000)


@pytest.fixture(scope="session")
def bert(models):
    path = models / "rows.jsonl"
    rows = [{"text": f"{word} {i} {word}", "label": label} for i in range(60)
            for word, label in (("apples", "fruit"), ("hammers", "tool"))]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return trained(models / "bert", family="bert", data=f"file:{path}", objective="classes", vocab_size=280, width=16,
                   depth=1, seqlen=12, tokens=12 * 16 * 60)  # fmt: skip


def write_wav(path, hertz, seconds=0.3):
    samples = 8000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(RATE)
        stream.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.fixture(scope="session")
def audio(models):
    for name, lowest in (("high", 2000), ("low", 200)):
        (models / "tones" / name).mkdir(parents=True)
        for i in range(10):
            write_wav(models / "tones" / name / f"{i}.wav", lowest + 20 * i)
    return trained(models / "audio", family="audio", data=f"dir:{models / 'tones'}", seconds=0.5, width=16, depth=1,
                   tokens=1200)  # fmt: skip


def untrained(folder, config, facts):
    """Write a checkpoint of a model with large random weights."""
    torch.manual_seed(1)
    model = TASKS[config.family].build(config, facts)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(4)
    write_checkpoint(folder, config, facts, {}, model, None)
    return folder


@pytest.fixture(scope="session")
def ctc(models):
    """Untrained: its data needs a synthesiser that not every machine has."""
    config = RunConfig.from_dict({"family": "audio", "data": "builtin:spoken-numbers", "width": 16, "depth": 1})
    facts = {"classes": ["zero", "one", "two"], "ctc": True, "bands": 40, "rate": RATE, "seconds": 0.5}
    return untrained(models / "ctc", config, facts)


@pytest.fixture(scope="session")
def transformer(models):
    pairs = load_pairs("builtin:numbers")
    config = RunConfig.from_dict({"family": "transformer", "data": pairs.source, "width": 16, "depth": 1})
    return untrained(models / "transformer", config, {"vocab_size": pairs.vocab_size, "max_target": pairs.max_target})
