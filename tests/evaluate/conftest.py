"""Small trained checkpoints, one of each kind, for reading only."""

import pytest

from laimbench.train import RunConfig, Trainer, save_checkpoint

MARKOV = "synthetic:markov?order=1&states=12&concentration=0.2"


def trained(folder, **values):
    """Train a run and keep it; return its folder."""
    config = RunConfig.from_dict({"backend": "torch", "evals": 1, "eval_tokens": 512, **values})
    trainer = Trainer(config)
    while not trainer.finished:
        state = trainer.advance().to_dict()
    save_checkpoint(folder, trainer, state)
    return folder


@pytest.fixture(scope="session")
def gpt(corpus, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("gpt") / "model", width=32, depth=1, data=corpus, vocab_size=300, seqlen=32,
                   tokens=8192, lr=0.01)  # fmt: skip


@pytest.fixture(scope="session")
def markov(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("markov") / "model", width=16, depth=1, data=MARKOV, seqlen=16, tokens=4096,
                   lr=1e-5, batch_size=32)  # fmt: skip


@pytest.fixture(scope="session")
def masked(corpus, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("masked") / "model", family="bert", width=16, depth=1, data=corpus,
                   vocab_size=300, seqlen=32, tokens=2048)  # fmt: skip


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """Texts whose class is their first word's, which comes before and behind others."""
    path = tmp_path_factory.mktemp("labelled") / "rows.csv"
    rows = [f"{('alpha', 'beta', 'gamma')[i % 3]} number {i} of {i % 7},{'abc'[i % 3]}" for i in range(150)]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return f"file:{path}"


@pytest.fixture(scope="session")
def classifier(labelled, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("classes") / "model", family="bert", objective="classes", width=16, depth=1,
                   data=labelled, vocab_size=300, seqlen=16, tokens=4096)  # fmt: skip


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("digits") / "model", family="mlp", width=8, tokens=1600)


@pytest.fixture(scope="session")
def dates(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("dates") / "model", family="transformer", width=16, depth=1, tokens=640,
                   lr=0.01)  # fmt: skip
