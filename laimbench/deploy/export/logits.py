"""The logits of every family as one module with named inputs, and random inputs for it.

Shapes: B batch, S sequence, T target or frames, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laimbench.errors import InputError
from laimbench.models import BERT, GPT, AudioEncoder, SimpleModel, Transformer, ViT

MOST_TOKENS = 32  # of a random sequence: enough to see every layer at work
FRAMES = 40


class Logits(nn.Module):
    """A model's logits. inputs: their names, in order, with the dimensions that may vary, by name.

    sample(batch, length): random inputs; a length of at most ``longest``.
    """

    def __init__(self, model: nn.Module, family: "_Family"):
        super().__init__()
        self.model, self._family = model, family

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        return self._family.inputs(self.model)

    @property
    def longest(self) -> int:
        return self._family.longest(self.model)

    def sample(self, batch: int, length: int, seed: int = 0) -> tuple[Tensor, ...]:
        return self._family.sample(self.model, torch.Generator().manual_seed(seed), batch, length)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._family.forward(self.model, *inputs)


@dataclass(frozen=True)
class _Family:
    forward: Callable[..., Tensor]
    inputs: Callable[[nn.Module], dict[str, dict[int, str]]]
    sample: Callable[..., tuple[Tensor, ...]]
    longest: Callable[[nn.Module], int]


TOKENS, LENGTHS = {0: "batch", 1: "sequence"}, {0: "batch"}


def _masked(model: BERT, tokens_BS: Tensor) -> Tensor:
    """Return (B, S, V) at every position, whatever stands there."""
    return model.ops.linear(model.head(model.hidden(tokens_BS)), model.tokens.weight, model.head_bias)


def _bert(model: BERT, *inputs: Tensor) -> Tensor:
    return model.logits(*inputs) if model.config.classes else _masked(model, *inputs)


def _tokens(model: nn.Module, generator: torch.Generator, batch: int, length: int) -> Tensor:
    return torch.randint(model.config.vocab_size, (batch, length), generator=generator)


def _lengths(generator: torch.Generator, batch: int, length: int) -> Tensor:
    """Return random lengths, of which one is the whole."""
    lengths = torch.randint(1, length + 1, (batch,), generator=generator)
    lengths[0] = length
    return lengths


def _bert_sample(model, generator, batch, length):
    tokens = _tokens(model, generator, batch, length)
    return (tokens, _lengths(generator, batch, length)) if model.config.classes else (tokens,)


def _pair_sample(model, generator, batch, length):
    return (
        _tokens(model, generator, batch, length),
        _lengths(generator, batch, length),
        _tokens(model, generator, batch, max(2, length // 2)),
    )


def _frames_sample(model, generator, batch, length):
    frames = torch.randn(batch, length, model.config.bands, generator=generator)
    return frames, _lengths(generator, batch, length)


def _image_sample(model, generator, batch, length):
    config = model.config
    return (torch.rand(batch, config.colours, config.image_size, config.image_size, generator=generator),)


FAMILIES: dict[type[nn.Module], _Family] = {
    GPT: _Family(
        GPT.logits,
        lambda model: {"tokens": TOKENS},
        lambda model, *how: (_tokens(model, *how),),
        lambda model: min(model.config.seqlen, MOST_TOKENS),
    ),
    BERT: _Family(
        _bert,
        lambda model: {"tokens": TOKENS, **({"lengths": LENGTHS} if model.config.classes else {})},
        _bert_sample,
        lambda model: min(model.config.seqlen, MOST_TOKENS),
    ),
    Transformer: _Family(
        lambda model, source, lengths, target: model.output(
            model.decode(target, model.encode(source, lengths), lengths)
        ),
        lambda model: {"source": TOKENS, "lengths": LENGTHS, "target": {0: "batch", 1: "target_sequence"}},
        _pair_sample,
        lambda model: MOST_TOKENS,
    ),
    AudioEncoder: _Family(
        AudioEncoder.logits,
        lambda model: {"frames": {0: "batch", 1: "frames"}, "lengths": LENGTHS},
        _frames_sample,
        lambda model: FRAMES,
    ),
    ViT: _Family(ViT.logits, lambda model: {"images": {0: "batch"}}, _image_sample, lambda model: 1),
    SimpleModel: _Family(
        SimpleModel.logits,
        lambda model: {"values": {0: "batch"}},
        lambda model, generator, batch, length: (torch.rand(batch, model.hidden.in_features, generator=generator),),
        lambda model: 1,
    ),
}


def logits_of(model: nn.Module) -> Logits:
    """Return the module of a model's logits, which is not trained any more.

    Raises:
        InputError: a model of a family that nobody told here how its logits come about.
    """
    if type(model) not in FAMILIES:
        raise InputError(f"model is a {type(model).__name__}, expected one of laimbench's families to export")
    return Logits(model, FAMILIES[type(model)]).eval()


def varied(logits: Logits) -> list[tuple[Tensor, ...]]:
    """Return random inputs of other sizes than an example's: a batch of one, and a larger one of shorter sequences."""
    return [logits.sample(1, logits.longest, 1), logits.sample(5, logits.longest // 2 + 1, 2)]
