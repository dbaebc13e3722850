"""Training: deterministic, learning, same under both backends, failing clearly."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from laimbench.data import load_tokens, unigram_entropy
from laimbench.errors import InputError, RunError
from laimbench.train import RunConfig, Trainer
from laimbench.train.schedule import SCHEDULES, warmup_cosine


@pytest.fixture
def small(corpus):
    return RunConfig(width=32, depth=1, data=corpus, vocab_size=300, seqlen=32, batch_size=8, tokens=4096, evals=3,
                     eval_tokens=1024, backend="torch")  # fmt: skip


def run(config):
    trainer, evaluations = Trainer(config), []
    while not trainer.finished:
        evaluations.append(trainer.advance())
    return trainer, evaluations


def test_the_same_seed_gives_the_same_run(small):
    first, second, other = (run(replace(small, seed=seed))[1] for seed in (0, 0, 1))
    assert [e.val_loss for e in first] == [e.val_loss for e in second] != [e.val_loss for e in other]
    assert [e.step for e in first] == [0, 6, 11, 16] and math.isnan(first[0].train_loss)
    assert first[-1].tokens == 16 * 256 and first[-1].train_s > first[1].train_s > 0


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_laim_and_stock_learn_the_same(small, dtype):
    curves = {}
    for backend in ("laim", "torch"):
        runs = [run(replace(small, backend=backend, dtype=dtype, tokens=16_384, seed=seed))[1] for seed in (0, 1, 2)]
        curves[backend] = np.array([[e.val_loss for e in evaluations] for evaluations in runs])
    spread = curves["torch"].std(axis=0, ddof=1)
    difference = np.abs((curves["laim"] - curves["torch"]).mean(axis=0))
    assert (difference <= spread + 1e-6).all(), (difference, spread)


def test_training_beats_the_unigram_entropy(small):
    trainer, evaluations = run(replace(small, tokens=60_000))
    entropy = unigram_entropy(load_tokens(small.data, small.vocab_size).validation)
    assert evaluations[-1].val_loss < 0.8 * entropy
    assert evaluations[-1].flops == pytest.approx(trainer.total_steps * trainer.flops_per_step)


@pytest.mark.parametrize("noise", [0, 0.1])
def test_a_model_comes_down_to_the_entropy_of_its_source_and_not_below(noise):
    config = RunConfig(
        width=32, depth=1, data=f"synthetic:markov?states=6&noise={noise}", seqlen=32, batch_size=16, tokens=150_000,
        lr=5e-3, evals=1, eval_tokens=16_384, backend="torch",
    )  # fmt: skip
    trainer, evaluations = run(config)
    found, summary = evaluations[-1].val_loss, trainer.summary()
    windows = trainer.task.data.validation_windows(512, 33)
    best = trainer.task.data.process.optimal_losses(windows).mean()  # on the very tokens that the model was judged by
    assert best < found < best + 0.05
    assert summary["entropy_rate_lower"] <= summary["context_bound_upper"] < np.log(6)
    assert abs(best - summary["context_bound_upper"]) < 0.05


def test_the_warm_up_leaves_no_trace(small):
    torch.manual_seed(small.seed)
    trainer = Trainer(small)
    from laimbench.models import GPT

    torch.manual_seed(small.seed)
    fresh = GPT(trainer.model.config, "torch")
    for (name, trained), expected in zip(trainer.model.named_parameters(), fresh.parameters(), strict=True):
        assert torch.equal(trained, expected), name


@pytest.mark.parametrize("backend", ["torch", "laim"])
def test_digits_are_learnt(backend):
    config = RunConfig(
        family="mlp", data="builtin:digits", width=64, tokens=30 * 1438, batch_size=32, lr=3e-3, backend=backend
    )
    trainer, _ = run(config)
    summary = trainer.summary()
    assert summary["accuracy"] >= 0.95 and summary["recall"] >= 0.95 and summary["f1"] >= 0.95


def test_a_diverging_run_stops_and_says_where(small):
    with pytest.raises(RunError, match="step"):
        run(replace(small, lr=1e20, grad_clip=0.0))


@pytest.mark.parametrize(
    ("values", "word"),
    [({"widht": 3}, "widht"), ({"width": "big"}, "width"), ({"backend": "jax"}, "backend"), ({"tokens": 0}, "tokens"),
     ({"width": 33, "heads": 2}, "heads"), ({"dtype": "fp8"}, "dtype"), ({"seed": True}, "seed"), ({"lr": float("nan")}, "lr"),
     ({"depth": 10**400}, "depth"), ({"depth": 3000}, "depth"), ({"lr": 10**400}, "lr"), ({"seed": 1 << 63}, "seed")],
)  # fmt: skip
def test_wrong_configurations_are_named(values, word):
    with pytest.raises(InputError, match=word):
        RunConfig.from_dict(values)


def test_the_schedule_warms_up_and_decays():
    factors = [warmup_cosine(step, 100, 0.1) for step in range(100)]
    assert factors[0] == 0.1 and max(factors) == factors[9] == factors[10] == 1.0
    assert 0.1 <= factors[-1] < 0.101 and factors[10:] == sorted(factors[10:], reverse=True)


def test_schedules():
    wsd, noam = ([SCHEDULES[name](step, 100, 0.1) for step in range(100)] for name in ("wsd", "noam"))
    assert wsd[:10] == noam[:10] == [(step + 1) / 10 for step in range(10)]
    assert set(wsd[10:81]) == {1.0} and wsd[-1] == pytest.approx(0.05) and wsd[80:] == sorted(wsd[80:], reverse=True)
    assert noam[39] == pytest.approx(0.5) and noam[10:] == sorted(noam[10:], reverse=True)
