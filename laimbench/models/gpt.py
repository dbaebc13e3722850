"""GPT: a pre-norm causal Transformer, from GPT-2's choices to Llama's, one definition for all backends.

Shapes: B batch, S sequence, C channels, V vocabulary. Sources: Radford et al. 2019 (GPT-2), Touvron et al. 2023 (Llama).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laimbench.errors import InputError, require_at_least_one
from laimbench.models.backends import get_ops
from laimbench.models.blocks import BlockConfig, Context, Stack, initialise, rotation
from laimbench.models.cache import Cache
from laimbench.models.documents import Documents

POSITIONS = ("learned", "rotary")


@dataclass(frozen=True)
class GPTConfig:
    """Shape of a GPT; what is not told here is as in ``BlockConfig``."""

    vocab_size: int
    seqlen: int
    width: int
    depth: int
    heads: int
    tied: bool = True  # the output layer shares the token embedding
    kv_heads: int = 0
    hidden: int = 0
    norm: str = "layer"
    mlp: str = "gelu"
    positions: str = "learned"
    rope_base: float = 10_000.0
    eps: float = 1e-5
    document_end: int = -1  # from 0 on: attention does not look back over this token

    def __post_init__(self):
        require_at_least_one(self, "vocab_size", "seqlen", "width", "depth", "heads")
        if self.positions not in POSITIONS:
            raise InputError(f"positions is {self.positions!r}, expected one of {', '.join(POSITIONS)}")
        self.block  # noqa: B018 - raises what is wrong with it

    @property
    def block(self) -> BlockConfig:
        return BlockConfig(
            self.width, self.heads, self.kv_heads, self.hidden, self.norm, self.mlp, causal=True,
            rotary=self.positions == "rotary", eps=self.eps,
        )  # fmt: skip


class GPT(nn.Module):
    """Mean next-token loss in nats of tokens (B, S) against targets (B, S)."""

    def __init__(self, config: GPTConfig, backend: str = "torch"):
        super().__init__()
        self.config, self.ops = config, get_ops(backend)
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.seqlen, config.width) if config.positions == "learned" else None
        self.stack = Stack(config.block, config.depth, self.ops)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        initialise(self)
        if config.tied:
            self.head.weight = self.tokens.weight

    def embedding_parameters(self) -> int:
        return self.tokens.weight.numel() + (0 if self.positions is None else self.positions.weight.numel())

    def hidden(self, tokens_BS: Tensor, cache: Cache | None = None) -> Tensor:
        """Return (B, S, C) before the output layer. With a cache the tokens continue what is in it."""
        length = tokens_BS.shape[1]
        positions = torch.arange(length, device=tokens_BS.device) if cache is None else cache.positions(length)
        x, context = self.tokens(tokens_BS), Context()
        if self.config.document_end >= 0 and cache is None:
            context.documents = Documents.of(tokens_BS, self.config.document_end)
        if self.positions is not None:
            x = x + self.positions(positions.clamp(max=self.config.seqlen - 1))  # beyond it only padding of prompts
        else:
            context.rotation = rotation(positions, self.config.width // self.config.heads, self.config.rope_base)
        return self.stack(x, context, None if cache is None else cache.layers)

    def logits(self, tokens_BS: Tensor) -> Tensor:
        """Return (B, S, V)."""
        return self.ops.linear(self.hidden(tokens_BS), self.head.weight)

    def losses(self, tokens_BS: Tensor, targets_BS: Tensor) -> Tensor:
        """Return (B, S): the loss of each token."""
        return self.ops.linear_cross_entropy(self.hidden(tokens_BS), self.head.weight, targets_BS, reduction="none")

    def forward(self, tokens_BS: Tensor, targets_BS: Tensor) -> Tensor:
        return self.ops.linear_cross_entropy(self.hidden(tokens_BS), self.head.weight, targets_BS)
