"""Shapes: published parameter counts, the continuous family, buildable models, memory."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laimbench.errors import InputError
from laimbench.laws.planning.allocation import allocate, six_nd
from laimbench.laws.planning.buildable import (
    ASPECTS,
    GPT2,
    Architecture,
    candidates,
    shapes_near,
    suggested_batch_tokens,
)
from laimbench.laws.planning.memory import block_activations, training_memory
from laimbench.laws.planning.shapes import CONVENTIONS, Shape, flops_by_convention, hidden_width, padded_vocabulary
from tests.laws.planning.planner import epoch, with_draws

GPT2_124M = Shape("gpt", 50257, 1024, 768, 12, 12, 12, 3072, True)
LLAMA3_8B = Shape("llama", 128256, 8192, 4096, 32, 32, 8, 14336, False)


@pytest.mark.parametrize(
    ("shape", "params"),
    [(GPT2_124M, 124_439_808), (Shape("gpt", 50257, 1024, 1600, 48, 25, 25, 6400, True), 1_557_611_200),
     (Shape("llama", 32000, 4096, 4096, 32, 32, 32, 11008, False), 6_738_415_616), (LLAMA3_8B, 8_030_261_248)],
    ids=["GPT-2", "GPT-2 XL", "Llama 2 7B", "Llama 3 8B"],
)  # fmt: skip
def test_published_parameter_counts(shape, params):
    assert shape.params == params == sum(shape.parts.values())
    assert shape.params_non_embedding == params - shape.vocab_size * shape.width - shape.parts["position embedding"]


def test_flops_per_token_are_those_of_six_n_and_what_it_leaves_out():
    # 6 x the weights of all products, the output layer's included, and 3 x 2 x 2 S C / 2 of attention per block
    weights = 12 * (12 * 768 * 768) + 768 * 50257
    assert GPT2_124M.training_flops_per_token == 6 * weights + 12 * 6 * 768 * 1025


def test_the_family_goes_through_its_shapes():
    shape = Shape("gpt", 50304, 1024, 768, 8, 12, 12, 3072, True)  # width / depth = 96, the family's
    exact, kaplan = (flops_by_convention(name)(float(shape.params), 1e9) for name in ("exact", "kaplan"))
    assert exact == pytest.approx(shape.training_flops_per_token * 1e9, rel=1e-6)
    assert kaplan == pytest.approx(6 * shape.params_non_embedding * 1e9, rel=1e-6)
    assert flops_by_convention("6ND") is six_nd and flops_by_convention("kaplan", "non_embedding") is six_nd
    with pytest.raises(InputError, match="7ND"):
        flops_by_convention("7ND")


def test_conventions_agree_for_large_models_and_differ_for_small_ones():
    sizes = [
        [allocate(epoch(), compute, flops=flops_by_convention(name)).params.value for name in CONVENTIONS]
        for compute in (1e18, 1e26)
    ]
    spread = [max(row) / min(row) for row in sizes]
    assert spread[0] > 1.1 > 1.01 > spread[1]


@settings(max_examples=40, deadline=None)
@given(
    st.floats(7.5, 12.5),
    st.sampled_from([GPT2, Architecture("llama", 32000, 4096, False, 4), Architecture("llama", 32000, 4096, False)]),
)
def test_what_is_buildable(log_params, architecture):
    params = 10**log_params
    try:
        shapes = shapes_near(params, architecture)
    except InputError as error:
        assert params < 6e7 and "nearest" in str(error)
        return
    for shape in shapes:
        assert shape.width % shape.head_size == 0 and shape.head_size in (64, 128)
        assert shape.heads == shape.kv_heads * architecture.kv_ratio
        assert ASPECTS[0] <= shape.aspect <= ASPECTS[1] and shape.vocab_size % 128 == 0 and shape.hidden % 64 == 0
        assert abs(math.log(shape.params / params)) <= math.log(1.5)
    if params > 1e9:
        assert min(abs(shape.params / params - 1) for shape in shapes) < 0.02


def test_candidates_spend_the_budget_exactly_and_stand_in_order():
    law, compute = with_draws(), 1e21
    best = allocate(law, compute)
    found = candidates(law, best.params.value, lambda shape: compute / shape.training_flops_per_token, devices=8)
    assert 4 <= len(found) <= 6
    assert [c.loss.value for c in found] == sorted(c.loss.value for c in found)
    for c in found:
        assert c.training_flops == pytest.approx(compute, rel=1e-12)
        assert c.distance == pytest.approx(c.shape.params / best.params.value)
        assert c.loss.low < law.predict(c.shape.params, c.tokens)[0] == c.loss.value < c.loss.high
        assert c.batch_tokens % (8 * 1024) == 0 and c.steps * c.batch_tokens == pytest.approx(c.tokens, rel=0.01)
    # the budget's loss is nearly that of the continuous optimum
    assert found[0].loss.value - best.loss.value < 0.005


def test_a_law_without_embeddings_gets_models_without_embeddings():
    wanted = 1e8
    shapes = shapes_near(wanted, Architecture(counted="non_embedding"))
    assert min(abs(s.params_non_embedding / wanted - 1) for s in shapes) < 0.03
    assert all(s.params > 1.1 * s.params_non_embedding for s in shapes)


@pytest.mark.parametrize(("params", "word"), [(1e3, "smaller than the smallest"), (1e20, "larger than the largest")])
def test_sizes_that_cannot_be_built_are_said(params, word):
    with pytest.raises(InputError, match=word) as caught:
        shapes_near(params)
    assert "\n" not in str(caught.value)


def test_rounding_and_batches():
    assert (padded_vocabulary(50257), padded_vocabulary(50304), padded_vocabulary(1)) == (50304, 50304, 128)
    assert hidden_width("gpt", 768) == 3072 and hidden_width("llama", 4096) == 11008  # Llama 2 7B has 11008
    # DeepSeek LLM 67B: 4,608 sequences of 4,096 at 6 x 67e9 x 2e12 FLOPs
    assert suggested_batch_tokens(6 * 67e9 * 2e12, 2e12, 4096) == pytest.approx(4608 * 4096, rel=0.05)
    assert suggested_batch_tokens(1e15, 1e5, 128) * 100 <= 1.3e5 and suggested_batch_tokens(1.0, 128, 128) == 128


def test_memory_by_published_formulas():
    # ZeRO, section 3.1: 16 bytes per parameter, whatever the precision
    for precision in ("bf16", "fp32"):
        terms = training_memory(LLAMA3_8B, precision=precision).terms
        states = sum(terms.get(name, 0) for name in ("weights", "gradients", "master weights", "AdamW moments"))
        assert states == 16 * LLAMA3_8B.params
    # figure 1 there: 7.5B parameters over 64: 120, 31.4, 16.6, 1.9 GB
    shape = Shape("gpt", 50304, 1024, 4096, 36, 32, 32, 16384, True)
    per_param = [
        sum(list(training_memory(shape, devices=64, zero_stage=stage).terms.values())[:4]) / shape.params
        for stage in range(4)
    ]
    np.testing.assert_allclose(np.array(per_param) * 7.5, [120, 31.4, 16.6, 1.9], rtol=0.02)
    # Korthikanti et al. 2022: 34 s b h less 2 of dropout masks, and our softmax statistics
    assert block_activations(GPT2_124M) == 32 * 768 + 4 * 12


def test_memory_terms_do_what_they_say():
    kept, again = (training_memory(LLAMA3_8B, micro_batch=2, checkpointing=c) for c in (False, True))
    assert again.total < kept.total and "activations" not in again.terms
    assert kept.total == sum(kept.terms.values())
    tokens = 2 * 8192
    unfused = training_memory(LLAMA3_8B, micro_batch=2, fused_loss=False)
    assert unfused.total - kept.total == 10 * 128256 * tokens
    assert training_memory(LLAMA3_8B, micro_batch=4).terms["activations"] == 2 * kept.terms["activations"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"micro_batch": 0}, "micro_batch"), ({"devices": 0}, "devices"), ({"zero_stage": 4}, "zero_stage"), ({"precision": "fp8"}, "precision")],
)  # fmt: skip
def test_wrong_memory_arguments_are_named(arguments, word):
    with pytest.raises(InputError, match=word):
        training_memory(GPT2_124M, **arguments)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("rnn", 10, 8, 64, 1, 1, 1, 256, True), "architecture"), (("gpt", 10, 8, 65, 1, 2, 2, 256, True), "width 65"),
     (("llama", 10, 8, 64, 1, 4, 3, 256, True), "kv_heads 3"), (("gpt", 0, 8, 64, 1, 1, 1, 256, True), "vocab_size")],
)  # fmt: skip
def test_wrong_shapes_are_named(arguments, word):
    with pytest.raises(InputError, match=word):
        Shape(*arguments)
