"""Conventions: counted by hand, the columns they need named, and the gap between 0.73 and 0.50 in the right direction."""

import numpy as np
import pytest

from laimbench import laws
from laimbench.errors import InputError
from laimbench.laws import conventions

VOCAB, SEQLEN = 50_257, 1024


def table(**changes):
    columns = {
        "params": [1000.0, 9000.0], "params_non_embedding": [600.0, 8000.0], "tokens": [10.0, 20.0], "loss": [3.0, 2.0],
        "width": [4.0, 8.0], "depth": [2.0, 3.0], "vocab_size": [100.0, 100.0], "seqlen": [7.0, 7.0],
    } | changes  # fmt: skip
    return laws.from_columns({name: column for name, column in columns.items() if column is not None})


def test_flops_by_every_convention():
    assert table().runs()["flops"].tolist() == [60_000, 1_080_000]
    assert table().runs("6ND")["flops"].tolist() == [60_000, 1_080_000]
    assert table().runs("kaplan")["flops"].tolist() == [36_000, 960_000]
    # per token, forward: depth x (24 width^2 + 2 x 2 x width x 4 keys in the mean) + 2 width vocab
    first, second = 2 * (24 * 16 + 4 * 4 * 4) + 2 * 4 * 100, 3 * (24 * 64 + 4 * 8 * 4) + 2 * 8 * 100
    assert table().runs("exact")["flops"].tolist() == [3 * first * 10, 3 * second * 20]
    given = conventions.apply(table(flops=[1.0, 2.0]), flops="6ND")
    assert given.columns["flops"].tolist() == [60_000, 1_080_000] and "flops" in given.derived


def test_params_by_every_convention_and_from_what_is_there():
    assert table().runs(params="non_embedding")["params"].tolist() == [600, 8000]
    assert table(params_non_embedding=None).runs(params="non_embedding")["params"].tolist() == [1000 - 400, 9000 - 800]
    shape = table(params_non_embedding=None, vocab_size=None)
    assert shape.runs(params="non_embedding")["params"].tolist() == [12 * 2 * 16, 12 * 3 * 64]
    total = conventions.apply(table(params=None), "total")
    assert total.columns["params"].tolist() == [1000, 8800]
    twice = conventions.apply(conventions.apply(table(), "non_embedding"), "total", "6ND")
    assert twice.columns["params"].tolist() == [1000, 9000] and twice.columns["flops"].tolist() == [60_000, 1_080_000]
    assert any(
        "params - vocab_size x width" in n
        for n in conventions.apply(table(params_non_embedding=None), "non_embedding").notes
    )


@pytest.mark.parametrize(
    ("changes", "arguments", "words"),
    [({}, ("total", "7ND"), ["7ND", "6ND"]), ({}, ("half", None), ["half", "non_embedding"]),
     ({"depth": None}, (None, "exact"), ["no column depth"]), ({"tokens": None}, (None, "6ND"), ["no column tokens"]),
     ({"params_non_embedding": None, "width": None}, (None, "kaplan"), ["params_non_embedding", "width"]),
     ({"depth": [2.0, None]}, (None, "exact"), ["row 2", "depth", "nan"]),
     ({"params_non_embedding": None, "vocab_size": [1e4, 1.0]}, ("non_embedding", None), ["row 1", "vocab_size x width"])],
)  # fmt: skip
def test_what_is_missing_is_named(changes, arguments, words):
    with pytest.raises(InputError) as caught:
        conventions.apply(table(**changes), *arguments)
    for word in words:
        assert word in str(caught.value)


def simulated(rows=80):
    """Chinchilla's law in total parameters for GPTs from 0.8M to 1.5B without embeddings, Kaplan's range, without noise."""
    rng = np.random.default_rng(0)
    depth = np.round(10 ** rng.uniform(0.3, 1.68, rows))
    width = 64 * np.round(2 * depth**0.9)
    inner = 12 * depth * width**2
    params = inner + VOCAB * width
    tokens = 10 ** rng.uniform(8, 10.5, rows)
    loss = 1.8172 + 482.01 / params**0.3478 + 2085.43 / tokens**0.3658
    return laws.from_columns(
        {"params": params, "params_non_embedding": inner, "tokens": tokens, "loss": loss, "width": width, "depth": depth,
         "vocab_size": np.full(rows, VOCAB), "seqlen": np.full(rows, SEQLEN)}
    )  # fmt: skip


def test_the_known_gap_between_kaplan_and_chinchilla_shows():
    effects, unavailable = conventions.compare(simulated())
    assert unavailable == [] and len(effects) == 6
    exponent = {(effect.params, effect.flops): effect.numbers["params_exponent"] for effect in effects}
    assert exponent["total", "6ND"] == pytest.approx(0.3658 / (0.3478 + 0.3658), abs=1e-3)
    # Pearce and Song 2024: leaving embeddings out raises the exponent of a Chinchilla law well above one half
    assert exponent["non_embedding", "kaplan"] > exponent["total", "6ND"] + 0.05
    for effect in effects:
        assert effect.rows == 80 and 0 < effect.numbers["params_exponent"] < 1
        assert effect.to_dict()["numbers"] == effect.numbers


def test_a_fit_of_the_users_own_and_conventions_that_are_not_there():
    bare = laws.from_columns({"params": [1.0, 2], "tokens": [1.0, 2], "loss": [1.0, None]})
    effects, unavailable = conventions.compare(bare, lambda runs: {"rows": len(runs["loss"])})
    assert [(effect.params, effect.flops, effect.numbers) for effect in effects] == [("total", "6ND", {"rows": 1.0})]
    assert len(unavailable) == 5 and all("no column" in line for line in unavailable)


def test_optimal_exponents_minimise_the_law_at_constant_compute():
    rng = np.random.default_rng(1)
    params, tokens = 10 ** rng.uniform(6, 9, 60), 10 ** rng.uniform(8, 11, 60)
    flops = 3 * params**0.8 * tokens
    loss = 1.7 + 400 / params**0.34 + 900 / tokens**0.31
    law = laws.fit_chinchilla(params, tokens, loss, bootstrap=0)
    found = conventions.optimal_exponents({"params": params, "tokens": tokens, "flops": flops}, law)
    assert found["flops_exponent_of_params"] == pytest.approx(0.8)
    sizes = np.geomspace(1e5, 1e11, 200_001)
    best = [sizes[np.argmin(400 / sizes**0.34 + 900 / (c / (3 * sizes**0.8)) ** 0.31)] for c in (1e17, 1e18)]
    assert found["params_exponent"] == pytest.approx(np.log10(best[1] / best[0]), abs=2e-3)
