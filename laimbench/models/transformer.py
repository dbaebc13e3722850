"""The encoder-decoder Transformer: post-norm, sinusoidal positions, ReLU, one embedding for both sides and the output.

Shapes: B batch, S source, T target, C channels, V vocabulary. Source: Vaswani et al. 2017.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from laimbench.errors import InputError, require_at_least_one
from laimbench.models.backends import get_ops
from laimbench.models.blocks import BlockConfig, Context, Stack, initialise, sinusoidal_positions
from laimbench.models.cache import Cache
from laimbench.models.losses import smoothed_cross_entropy


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of a Transformer with ``depth`` blocks on each side."""

    vocab_size: int
    width: int
    depth: int
    heads: int
    hidden: int = 0
    mlp: str = "relu"
    norm: str = "layer"
    post_norm: bool = True
    label_smoothing: float = 0.1

    def __post_init__(self):
        require_at_least_one(self, "vocab_size", "width", "depth", "heads")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"label_smoothing is {self.label_smoothing}, expected 0 to below 1")
        self.block  # noqa: B018 - raises what is wrong with it

    @property
    def block(self) -> BlockConfig:
        """Shape of the encoder's blocks."""
        return BlockConfig(
            self.width, self.heads, hidden=self.hidden, mlp=self.mlp, norm=self.norm, post_norm=self.post_norm
        )


class Transformer(nn.Module):
    """Mean loss in nats of target tokens given the source and the target so far; smoothed while training."""

    def __init__(self, config: TransformerConfig, backend: str = "torch"):
        super().__init__()
        self.config, self.ops = config, get_ops(backend)
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        self.encoder = Stack(config.block, config.depth, self.ops)
        self.decoder = Stack(replace(config.block, causal=True, cross=True), config.depth, self.ops)
        initialise(self)
        # The embedding is scaled by the root of the width (section 3.4): of variance 1 going in, of 1 / width in the output.
        nn.init.normal_(self.tokens.weight, std=config.width**-0.5)

    def embedding_parameters(self) -> int:
        return self.tokens.weight.numel()

    def encode(self, source_BS: Tensor, lengths_B: Tensor) -> Tensor:
        """Return (B, S, C)."""
        positions = torch.arange(source_BS.shape[1], device=source_BS.device)
        return self.encoder(self._embed(source_BS, positions), Context(key_lengths=lengths_B))

    def decode(self, target_BT: Tensor, memory_BSC: Tensor, lengths_B: Tensor, cache: Cache | None = None) -> Tensor:
        """Return (B, T, C) before the output layer; ``lengths_B`` are the source's."""
        length = target_BT.shape[1]
        positions = torch.arange(length, device=target_BT.device) if cache is None else cache.positions(length)
        context = Context(memory=memory_BSC, memory_lengths=lengths_B)
        return self.decoder(self._embed(target_BT, positions), context, None if cache is None else cache.layers)

    def output(self, h: Tensor) -> Tensor:
        """Return logits (..., V)."""
        return self.ops.linear(h, self.tokens.weight)

    def forward(self, source_BS: Tensor, lengths_B: Tensor, target_BT: Tensor, next_BT: Tensor) -> Tensor:
        h = self.decode(target_BT, self.encode(source_BS, lengths_B), lengths_B)
        smoothing = self.config.label_smoothing if self.training else 0.0
        return smoothed_cross_entropy(self.ops, h, self.tokens.weight, next_BT, smoothing)

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self.tokens(tokens) * self.config.width**0.5 + sinusoidal_positions(positions, self.config.width)
