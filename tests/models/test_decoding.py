"""Decoding: the cached way says what whole forward passes say, sampling draws from the law it states, beams find the best."""

import itertools

import pytest
import torch

from laimbench.errors import InputError
from laimbench.models import GPT, GPTConfig, Transformer, TransformerConfig
from laimbench.models.cache import Cache
from laimbench.models.decoding import LENGTH_PENALTY, Sampling, beam_search, generate, stream

LLAMA = {"norm": "rms", "mlp": "swiglu", "positions": "rotary", "kv_heads": 1}
PROMPTS = [[3, 1, 4, 1, 5], [9], [2, 6, 5]]


def gpt(backend="laim", **options):
    torch.manual_seed(5)
    model = GPT(GPTConfig(23, 16, 32, 2, 2, **options), backend)
    for p in model.parameters():
        p.data.mul_(4)  # far from uniform, so that a mistake shows
    return model.eval()


@pytest.mark.parametrize("backend", ["laim", "torch"])
@pytest.mark.parametrize("options", [{}, LLAMA])
def test_the_cache_gives_the_full_forward_pass(options, backend):
    model = gpt(backend, **options)
    tokens = torch.randint(0, 23, (3, 12))
    lengths = torch.tensor([5, 1, 3])
    with torch.no_grad():
        reference = gpt("torch", **options).double()
        expected, stock = reference.logits(tokens), gpt("torch", **options).logits(tokens)
        prompt = torch.where(torch.arange(5) < lengths[:, None], tokens[:, :5], 0)
        cache = Cache(2, lengths, 16)
        h = model.hidden(prompt, cache)
        cache.advance(lengths)
        found = [model.ops.linear(h[torch.arange(3), lengths - 1], model.head.weight)]
        for step in range(7):
            following = tokens[torch.arange(3), lengths + step]
            found.append(model.ops.linear(model.hidden(following[:, None], cache)[:, 0], model.head.weight))
            cache.advance(1)
    at = lengths[:, None] - 1 + torch.arange(8)
    rows = torch.arange(3)[:, None]
    error = (torch.stack(found, 1).double() - expected[rows, at]).abs().max()
    own_error = (stock.double() - expected).abs().max()
    assert error <= 2 * own_error + torch.finfo(torch.float32).eps * expected.abs().max()


def test_greedy_tokens_are_those_of_whole_forward_passes():
    model = gpt()
    expected = []
    for prompt in PROMPTS:
        tokens = list(prompt)
        for _ in range(6):
            tokens.append(int(model.logits(torch.tensor([tokens]))[0, -1].argmax()))
        expected.append(tokens[len(prompt) :])
    assert generate(model, PROMPTS, 6, Sampling(temperature=0)) == expected


def test_a_prompt_is_continued_alike_alone_and_in_company():
    model, sampling = gpt(**LLAMA), Sampling(temperature=0.9, top_k=7, seed=3)
    together = generate(model, PROMPTS, 8, sampling)
    assert generate(model, PROMPTS[:1], 8, sampling) == together[:1]
    assert generate(model, PROMPTS, 8, Sampling(temperature=0.9, top_k=7, seed=4)) != together


def test_generation_ends_at_the_end_token_and_at_the_models_length():
    model = gpt()
    free = generate(model, PROMPTS, 30, Sampling(temperature=0))
    assert [len(p) + len(said) for p, said in zip(PROMPTS, free, strict=True)] == [
        17,
        17,
        17,
    ]  # the 17th is said, not read
    end = free[0][2]
    stopped = generate(model, PROMPTS, 30, Sampling(temperature=0), end=end)
    assert stopped[0] == free[0][: free[0].index(end)]
    steps = list(stream(model, PROMPTS, 3, Sampling(temperature=0)))
    assert len(steps) == 3 and [s[1] for s in steps] == free[1][:3]
    assert generate(model, [], 3) == [] and list(stream(model, PROMPTS, 0)) == []


def test_sampling_filters():
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    for sampling, expected in (
        (Sampling(), [0.4, 0.3, 0.2, 0.1]),
        (Sampling(top_k=2), [4 / 7, 3 / 7, 0, 0]),
        (Sampling(top_p=0.5), [4 / 7, 3 / 7, 0, 0]),
        (Sampling(top_p=0.01), [1.0, 0, 0, 0]),
        (Sampling(min_p=0.6), [4 / 7, 3 / 7, 0, 0]),
        (Sampling(temperature=0.5), [16 / 30, 9 / 30, 4 / 30, 1 / 30]),
    ):
        assert torch.allclose(sampling.filtered(logits).exp(), torch.tensor([expected]), atol=1e-6), sampling


@pytest.mark.parametrize(
    "extreme", [{"temperature": 1e-300}, {"temperature": 1e-38}, {"top_p": 1e-300}, {"min_p": 1.0}, {"top_k": 1}]
)
def test_the_most_extreme_sampling_takes_the_likeliest(extreme):
    model = gpt()
    greedy = generate(model, PROMPTS, 6, Sampling(temperature=0))
    assert generate(model, PROMPTS, 6, Sampling(seed=2**63 - 1, **extreme)) == greedy


def test_sampling_draws_from_its_law():
    model = gpt()
    said = [row[0] for row in generate(model, [[3, 1]] * 4000, 1, Sampling(temperature=0.7, top_k=5, seed=11))]
    law = Sampling(temperature=0.7, top_k=5).filtered(model.logits(torch.tensor([[3, 1]]))[:, -1]).exp()[0]
    counts = torch.bincount(torch.tensor(said), minlength=23).double()
    kept = law > 0
    assert counts[~kept].sum() == 0
    statistic = ((counts[kept] - 4000 * law[kept]) ** 2 / (4000 * law[kept])).sum()
    assert statistic < 20  # chi-squared of 4 degrees of freedom: p = 0.0005


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: generate(m, [[]], 3), "0 tokens"),
        (lambda m: generate(m, [[1] * 17], 3), "17 tokens"),
        (lambda m: generate(m, [[23]], 3), "outside 0 to 22"),
        (lambda m: Sampling(temperature=-1), "temperature is -1"),
        (lambda m: Sampling(top_p=0), "top_p is 0"),
        (lambda m: Sampling(min_p=2), "min_p is 2"),
        (lambda m: Sampling(top_k=-1), "top_k is -1"),
        (lambda m: Sampling(seed=2**63), "seed is 9223372036854775808"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call(gpt())


def translator():
    torch.manual_seed(2)
    model = Transformer(TransformerConfig(7, 16, 2, 2), "laim")
    for p in model.parameters():
        p.data.mul_(2)
    return model.eval()


def log_prob(model, source, length, target):
    tokens = torch.tensor([[1, *target]])
    said = model.output(model.decode(tokens[:, :-1], model.encode(source, length), length)).log_softmax(-1)
    return said[0, torch.arange(len(target)), torch.tensor(target)].sum()


@torch.no_grad()
def test_wide_beams_find_the_best_of_all_targets():
    model, most = translator(), 3
    source, lengths = torch.randint(3, 7, (2, 5)), torch.tensor([5, 3])
    found = beam_search(model, source, lengths, most, begin=1, end=2, beams=7**3)
    for row in range(2):
        best = max(
            (
                log_prob(model, source[row : row + 1], lengths[row : row + 1], target)
                / ((5 + len(target)) / 6) ** LENGTH_PENALTY,
                target,
            )
            for n in range(1, most + 1)
            for target in itertools.product(range(7), repeat=n)
            if 2 not in target[:-1] and (target[-1] == 2 or n == most)
        )[1]
        assert found[row] == [token for token in best if token != 2]


@torch.no_grad()
def test_one_beam_is_greedy_decoding():
    model = translator()
    source, lengths = torch.randint(3, 7, (3, 5)), torch.tensor([5, 3, 4])
    for row, said in enumerate(beam_search(model, source, lengths, 6, begin=1, end=2, beams=1)):
        target = [1]
        memory = model.encode(source[row : row + 1], lengths[row : row + 1])
        while len(target) < 7 and (target[-1] != 2):
            h = model.decode(torch.tensor([target]), memory, lengths[row : row + 1])
            target.append(int(model.output(h[0, -1]).argmax()))
        assert said == [token for token in target[1:] if token != 2]
    assert beam_search(model, source[:0], lengths[:0], 6, begin=1, end=2) == []
