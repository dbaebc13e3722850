"""GPT: a pre-norm causal Transformer with learned positions, one definition for all backends.

Shapes: B batch, S sequence, C channels, H heads, D head size, V vocabulary. Source: Radford et al. 2019 (GPT-2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laimbench.errors import InputError
from laimbench.models.backends import get_ops


@dataclass(frozen=True)
class GPTConfig:
    """Shape of a GPT; the MLP is four times as wide as the model."""

    vocab_size: int
    seqlen: int
    width: int
    depth: int
    heads: int
    tied: bool = True  # the output layer shares the token embedding

    def __post_init__(self):
        for name in ("vocab_size", "seqlen", "width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if self.width % self.heads:
            raise InputError(f"width {self.width} is not a multiple of heads {self.heads}")


class Block(nn.Module):
    """Attention and MLP; the residual additions are part of the norms that follow them."""

    def __init__(self, config: GPTConfig, ops):
        super().__init__()
        self.ops, self.heads, width = ops, config.heads, config.width
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x_BSC: Tensor, branch_BSC: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take the residual stream and what is still to be added to it; return the same two."""
        ops = self.ops
        if branch_BSC is None:
            h = ops.layer_norm(x_BSC, self.norm1.weight, self.norm1.bias)
        else:
            h, x_BSC = ops.layer_norm(branch_BSC, self.norm1.weight, self.norm1.bias, residual=x_BSC)
        batch, seqlen, width = h.shape
        qkv = ops.linear(h, self.qkv.weight, self.qkv.bias).view(batch, seqlen, 3, self.heads, width // self.heads)
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        mixed = ops.attention(q, k, v, causal=True).transpose(1, 2).reshape(batch, seqlen, width)
        attended = ops.linear(mixed, self.project.weight, self.project.bias)
        h, x_BSC = ops.layer_norm(attended, self.norm2.weight, self.norm2.bias, residual=x_BSC)
        return x_BSC, ops.mlp(h, self.up.weight, self.up.bias, self.down.weight, self.down.bias)


class GPT(nn.Module):
    """Mean next-token loss in nats of tokens (B, S) against targets (B, S)."""

    def __init__(self, config: GPTConfig, backend: str = "torch"):
        super().__init__()
        self.config, self.ops = config, get_ops(backend)
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.seqlen, config.width)
        self.blocks = nn.ModuleList(Block(config, self.ops) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        self.apply(self._initialise)
        for block in self.blocks:
            # Each of the 2 depth branches adds to the residual stream: keep its variance as depth grows.
            for layer in (block.project, block.down):
                nn.init.normal_(layer.weight, std=0.02 / (2 * config.depth) ** 0.5)
        if config.tied:
            self.head.weight = self.tokens.weight

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, tokens_BS: Tensor, targets_BS: Tensor) -> Tensor:
        positions = torch.arange(tokens_BS.shape[1], device=tokens_BS.device)
        x, branch = self.tokens(tokens_BS) + self.positions(positions), None
        for block in self.blocks:
            x, branch = block(x, branch)
        h, _ = self.ops.layer_norm(branch, self.norm.weight, self.norm.bias, residual=x)
        return self.ops.linear_cross_entropy(h, self.head.weight, targets_BS)
