"""BERT: a post-norm bidirectional encoder, pre-trained on masked tokens, fine-tuned to classify.

Shapes: B batch, S sequence, M masked positions, C channels, V vocabulary, K classes. Source: Devlin et al. 2019.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from laimbench.errors import require_at_least_one
from laimbench.models.backends import get_ops
from laimbench.models.blocks import BlockConfig, Context, Linear, Norm, Stack, initialise


@dataclass(frozen=True)
class BERTConfig:
    """Shape of a BERT; vocab_size counts the special tokens too. classes: 0 for masked tokens, else how many to tell apart."""

    vocab_size: int
    seqlen: int
    width: int
    depth: int
    heads: int
    hidden: int = 0
    mlp: str = "gelu"
    classes: int = 0
    eps: float = 1e-12

    def __post_init__(self):
        require_at_least_one(self, "vocab_size", "seqlen", "width", "depth", "heads")
        self.block  # noqa: B018 - raises what is wrong with it

    @property
    def block(self) -> BlockConfig:
        return BlockConfig(self.width, self.heads, hidden=self.hidden, mlp=self.mlp, post_norm=True, eps=self.eps)


class BERT(nn.Module):
    """The encoder with one of its two heads; the encoder's parameters have the same names under both."""

    def __init__(self, config: BERTConfig, backend: str = "torch"):
        super().__init__()
        self.config, self.ops = config, get_ops(backend)
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.seqlen, config.width)
        self.norm = Norm(config.block, self.ops)
        self.stack = Stack(config.block, config.depth, self.ops)
        self.transform = Linear(config.width, config.width, self.ops)  # of the head: "pooler" where it classifies
        if config.classes:
            self.classify = Linear(config.width, config.classes, self.ops)
        else:
            self.head_norm = Norm(config.block, self.ops)
            self.head_bias = nn.Parameter(torch.zeros(config.vocab_size))
        initialise(self)

    def embedding_parameters(self) -> int:
        return self.tokens.weight.numel() + self.positions.weight.numel()

    def hidden(self, tokens_BS: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Return (B, S, C); what lies beyond a sequence's length is not attended to."""
        positions = torch.arange(tokens_BS.shape[1], device=tokens_BS.device)
        x, _ = self.norm(self.tokens(tokens_BS) + self.positions(positions))
        return self.stack(x, Context(key_lengths=lengths_B))

    def head(self, h: Tensor) -> Tensor:
        """Return (..., C), what the output layer (the token embedding) is applied to, of hidden states (..., C)."""
        return self.head_norm(F.gelu(self.transform(h)))[0]

    def masked_hidden(self, tokens_BS: Tensor, positions_BM: Tensor) -> Tensor:
        """Return (B, M, C), the head's output at these positions."""
        chosen = self.hidden(tokens_BS).gather(1, positions_BM[..., None].expand(-1, -1, self.config.width))
        return self.head(chosen)

    def logits(self, tokens_BS: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Return (B, K) of the sequences, from their first token."""
        return self.classify(torch.tanh(self.transform(self.hidden(tokens_BS, lengths_B)[:, 0])))

    def losses(self, tokens_BS: Tensor, positions_BM: Tensor, targets_BM: Tensor) -> Tensor:
        """Return (B, M): the loss of each masked token."""
        return self._masked_loss(tokens_BS, positions_BM, targets_BM, "none")

    def forward(self, tokens_BS: Tensor, second: Tensor, targets: Tensor) -> Tensor:
        """Mean loss in nats: of masked tokens at positions (B, M) against targets (B, M), or, where the model
        classifies, of sequences of these lengths (B,) against targets (B,).
        """
        if self.config.classes:
            return F.cross_entropy(self.logits(tokens_BS, second).float(), targets)
        return self._masked_loss(tokens_BS, second, targets, "mean")

    def _masked_loss(self, tokens, positions, targets, reduction) -> Tensor:
        return self.ops.linear_cross_entropy(
            self.masked_hidden(tokens, positions), self.tokens.weight, targets, bias=self.head_bias, reduction=reduction
        )
