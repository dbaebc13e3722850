"""Every family: the same loss and gradients under every backend, exact FLOPs, padding that changes nothing."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from laimbench.errors import InputError
from laimbench.models import (
    BERT,
    GPT,
    AudioConfig,
    AudioEncoder,
    BERTConfig,
    GPTConfig,
    SimpleModel,
    Transformer,
    TransformerConfig,
    ViT,
    ViTConfig,
)
from laimbench.models.blocks import rotate, rotation, sinusoidal_positions
from laimbench.models.flops import (
    audio_training_flops,
    bert_training_flops,
    gpt_forward_flops_per_token,
    simple_training_flops,
    transformer_training_flops,
    vit_training_flops,
)
from laimbench.models.losses import IGNORED, smoothed_cross_entropy

LENGTHS = torch.tensor([7, 4, 9])


def ids(*shape, high=31):
    return torch.randint(0, high, shape)


def positions():
    return torch.tensor([[1, 4], [2, 3], [0, 8]])


LLAMA = {"norm": "rms", "mlp": "swiglu", "positions": "rotary", "kv_heads": 1, "tied": False}
CASES = {
    "gpt": (lambda b: GPT(GPTConfig(31, 9, 16, 2, 2), b), lambda: (ids(3, 9), ids(3, 9))),
    "llama": (lambda b: GPT(GPTConfig(31, 9, 16, 2, 2, **LLAMA), b), lambda: (ids(3, 9), ids(3, 9))),
    "bert": (lambda b: BERT(BERTConfig(31, 9, 16, 2, 2), b), lambda: (ids(3, 9), positions(), ids(3, 2))),
    "bert-classes": (lambda b: BERT(BERTConfig(31, 9, 16, 2, 2, classes=4), b), lambda: (ids(3, 9), LENGTHS, ids(3, high=4))),
    "transformer": (
        lambda b: Transformer(TransformerConfig(31, 16, 2, 2), b),
        lambda: (ids(3, 9), LENGTHS, ids(3, 6), ids(3, 6)),
    ),
    "vit": (lambda b: ViT(ViTConfig(8, 1, 2, 5, 16, 2, 2), b), lambda: (torch.rand(3, 1, 8, 8), ids(3, high=5))),
    "audio": (
        lambda b: AudioEncoder(AudioConfig(10, 5, 16, 2, 2), b),
        lambda: (torch.randn(3, 9, 10), LENGTHS, ids(3, high=5)),
    ),
    "audio-ctc": (
        lambda b: AudioEncoder(AudioConfig(10, 5, 16, 2, 2, ctc=True), b),
        lambda: (torch.randn(3, 40, 10), torch.tensor([40, 33, 17]), 1 + ids(3, 3, high=5), torch.tensor([3, 2, 1])),
    ),
    "mlp": (lambda b: SimpleModel(10, 8, 3, b, depth=3), lambda: (torch.randn(3, 10), ids(3, high=3))),
}  # fmt: skip


def loss_and_gradients(name, backend):
    torch.manual_seed(1)
    make, inputs = CASES[name]
    model, batch = make(backend), inputs()
    run = torch.compile(model, backend="aot_eager") if backend.endswith("compile") else model
    loss = run(*batch)
    loss.backward()
    return loss.detach(), {parameter: p.grad for parameter, p in model.named_parameters()}


@pytest.mark.parametrize("backend", ["laim", "laim+compile"])
@pytest.mark.parametrize("name", CASES)
def test_backends_compute_the_same(name, backend):
    loss, gradients = loss_and_gradients(name, "torch")
    other_loss, other = loss_and_gradients(name, backend)
    assert torch.allclose(loss, other_loss, rtol=1e-5)
    for parameter, gradient in gradients.items():
        assert torch.allclose(gradient, other[parameter], rtol=2e-3, atol=1e-6), parameter


@pytest.mark.parametrize("name", CASES)
def test_every_parameter_learns(name):
    _, gradients = loss_and_gradients(name, "laim")
    dead = [parameter for parameter, gradient in gradients.items() if gradient is None or not gradient.any()]
    assert not dead


def test_flops_of_every_family_are_those_of_its_products():
    """Torch's counter does not know the CPU's fused attention: that part is added by hand, 4 C per query and key it sees."""

    def counted(name):
        torch.manual_seed(0)
        make, inputs = CASES[name]
        with FlopCounterMode(display=False) as counter:
            make("torch").eval()(*inputs())
        return counter.get_total_flops()

    square = 2 * 4 * 16  # depth, four products of a query and a key, width
    assert gpt_forward_flops_per_token(CASES["llama"][0]("torch").config) * 27 == counted("llama") + 3 * square * 45
    bert = CASES["bert"][0]("torch").config
    assert bert_training_flops(bert, 9, 2, 3) == 3 * (counted("bert") + 3 * square * 81)
    classes = CASES["bert-classes"][0]("torch").config
    assert bert_training_flops(classes, 9, 0, 3) == 3 * (counted("bert-classes") + 3 * square * 81)
    transformer = CASES["transformer"][0]("torch").config
    attention = 3 * square * (81 + 21 + 54)
    assert transformer_training_flops(transformer, 9, 6, 3) == 3 * (counted("transformer") + attention)
    vit = CASES["vit"][0]("torch").config
    first = 2 * 3 * 16 * 4 * 16
    assert vit_training_flops(vit, 3) == 3 * (counted("vit") + 3 * square * 17**2) - first
    audio = CASES["audio"][0]("torch").config
    first = 2 * 3 * 3 * 80 * 16
    assert audio_training_flops(audio, 9, 3) == 3 * (counted("audio") + 3 * square * 9) - first
    assert simple_training_flops(10, 8, 3, 3, depth=3) == 3 * counted("mlp") - 2 * 3 * 80


def test_padding_changes_nothing():
    torch.manual_seed(0)
    with torch.no_grad():
        bert = CASES["bert-classes"][0]("laim")
        tokens = ids(3, 9)
        longer = tokens.clone()
        longer[1, 4:] = 30
        assert torch.equal(bert.logits(tokens, LENGTHS)[1], bert.logits(longer, LENGTHS)[1])
        audio = CASES["audio"][0]("laim")
        frames = torch.randn(3, 9, 10)
        changed = frames.clone()
        changed[1, 4:] = 1e3
        assert torch.equal(audio.logits(frames, LENGTHS)[1], audio.logits(changed, LENGTHS)[1])
        transformer = CASES["transformer"][0]("laim")
        memory = transformer.encode(tokens, LENGTHS)
        target = ids(3, 6)
        h = transformer.decode(target, memory, LENGTHS)
        other = transformer.decode(target, transformer.encode(longer, LENGTHS), LENGTHS)
        assert torch.equal(h[1], other[1]) and torch.equal(h[0], other[0])


def test_only_causal_models_are_causal():
    torch.manual_seed(0)
    tokens = ids(1, 9)
    changed = tokens.clone()
    changed[0, 5:] = (changed[0, 5:] + 1) % 31
    with torch.no_grad():
        for name in ("gpt", "llama"):
            gpt = CASES[name][0]("laim")
            assert torch.equal(gpt.logits(tokens)[0, :5], gpt.logits(changed)[0, :5])
        bert = CASES["bert"][0]("laim")
        assert not torch.allclose(bert.hidden(tokens)[0, :5], bert.hidden(changed)[0, :5])


def test_rotary_scores_depend_on_distance_only():
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(i, j):
        at = [rotate(x, *rotation(torch.tensor([p]), 8)) for x, p in ((q, i), (k, j))]
        return (at[0] * at[1]).sum()

    assert torch.allclose(score(3, 1), score(10, 8), atol=1e-5) and not torch.allclose(score(3, 1), score(3, 2))


def test_sinusoidal_positions_are_those_of_the_paper():
    found = sinusoidal_positions(torch.tensor([0, 5]), 4)
    expected = torch.tensor([5.0, 5.0 / 100]).sin(), torch.tensor([5.0, 5.0 / 100]).cos()
    assert torch.allclose(found[1], torch.cat(expected)) and torch.equal(found[0], torch.tensor([0.0, 0, 1, 1]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_label_smoothing_is_torchs(smoothing):
    from laimbench import ops

    torch.manual_seed(0)
    x, weight, target = torch.randn(4, 5, 8), torch.randn(11, 8), ids(4, 5, high=11)
    target[1, 2] = IGNORED
    expected = torch.nn.functional.cross_entropy(
        (x @ weight.T).flatten(0, 1), target.flatten(), ignore_index=IGNORED, label_smoothing=smoothing
    )
    assert torch.allclose(smoothed_cross_entropy(ops, x, weight, target, smoothing), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GPTConfig(10, 4, 30, 1, 4), "width 30"),
        (lambda: GPTConfig(10, 4, 32, 1, 4, kv_heads=3), "kv_heads 3"),
        (lambda: GPTConfig(10, 4, 12, 1, 4, positions="rotary"), "rotary"),
        (lambda: GPTConfig(10, 4, 12, 1, 4, positions="absolute"), "positions is 'absolute'"),
        (lambda: GPTConfig(10, 4, 12, 1, 4, norm="batch"), "norm is 'batch'"),
        (lambda: GPTConfig(10, 4, 12, 1, 4, mlp="tanh"), "mlp is 'tanh'"),
        (lambda: BERTConfig(10, 4, 12, 0, 4), "depth is 0"),
        (lambda: TransformerConfig(10, 12, 1, 4, label_smoothing=1.0), "label_smoothing is 1.0"),
        (lambda: ViTConfig(9, 1, 2, 5, 16, 2, 2), "image_size 9"),
        (lambda: AudioConfig(0, 5, 16, 2, 2), "bands is 0"),
        (lambda: SimpleModel(10, 8, 3, depth=1), "depth is 1"),
    ],
)
def test_wrong_shapes_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
