"""Models: the same function under every backend, exact FLOPs."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from laimbench.errors import InputError
from laimbench.models import BACKENDS, GPT, GPTConfig, SimpleModel, get_ops, prepare
from laimbench.models.flops import gpt_forward_flops_per_token, gpt_training_flops

SHAPE = GPTConfig(vocab_size=97, seqlen=24, width=32, depth=2, heads=2)


def loss_and_gradients(backend):
    torch.manual_seed(3)
    model = GPT(SHAPE, backend)
    tokens = torch.randint(0, 97, (2, 25))
    run = (
        prepare(model, backend)
        if backend != "laim+compile"
        else torch.compile(model, backend="aot_eager", fullgraph=True)
    )
    loss = run(tokens[:, :-1], tokens[:, 1:])
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("backend", ["laim", "laim+compile"])
def test_backends_compute_the_same_loss_and_gradients(backend):
    loss, gradients = loss_and_gradients("torch")
    other_loss, other = loss_and_gradients(backend)
    assert torch.allclose(loss, other_loss, rtol=1e-5)
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, other[name], rtol=1e-3, atol=1e-6), name


def test_the_causal_model_does_not_see_the_future():
    torch.manual_seed(0)
    model = GPT(SHAPE, "laim")
    tokens = torch.randint(0, 97, (1, 24))
    targets = torch.full((1, 24), -100)
    targets[0, 5] = 1
    changed = tokens.clone()
    changed[0, 6:] = (changed[0, 6:] + 1) % 97
    assert torch.equal(model(tokens, targets), model(changed, targets))


def test_flops_agree_with_torch_but_for_causal_attention():
    model = GPT(SHAPE, "torch")
    tokens = torch.randint(0, 97, (1, 24))
    with FlopCounterMode(display=False) as counter:
        model(tokens, tokens)
    # torch's counter does not know the CPU's fused attention; ours: scores and values, 2 C each, of the keys a query sees
    attention = SHAPE.depth * sum(2 * 2 * SHAPE.width * (query + 1) for query in range(24))
    assert gpt_forward_flops_per_token(SHAPE) * 24 == counter.get_total_flops() + attention


def test_flop_conventions():
    assert gpt_training_flops(SHAPE, 10, 1000, 300, "6ND") == 60_000
    assert gpt_training_flops(SHAPE, 10, 1000, 300, "kaplan") == 42_000
    with pytest.raises(InputError, match="convention"):
        gpt_training_flops(SHAPE, 10, 1000, 300, "7ND")


def test_simple_model_agrees_between_backends():
    x, y = torch.randn(9, 10), torch.randint(0, 2, (9,))
    losses = []
    for backend in ("torch", "laim"):
        torch.manual_seed(1)
        losses.append(SimpleModel(backend=backend)(x, y))
    assert torch.allclose(*losses)


def test_wrong_shapes_and_backends_are_named():
    with pytest.raises(InputError, match="width 30"):
        GPTConfig(vocab_size=10, seqlen=4, width=30, depth=1, heads=4)
    with pytest.raises(InputError, match="backend"):
        get_ops("jax")
    assert BACKENDS == ("laim", "torch", "compile", "laim+compile")
