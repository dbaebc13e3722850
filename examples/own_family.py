"""A family of one's own: a language model that mixes each token with the one before it (RWKV's token shift) instead of attention.

    python examples/own_family.py

trains it with laim and with stock, same seeds and batches, and prints whether they learn the same and which is faster.
"""

from typing import Any

import torch
from torch import Tensor, nn

from laimbench.models import get_ops
from laimbench.models.blocks import INIT_STD
from laimbench.train import RunConfig, Trainer
from laimbench.train.rules import FAMILIES, Family
from laimbench.train.tasks import TASKS
from laimbench.train.tasks.gpt import GPTTask


class ShiftModel(nn.Module):
    """Mean next-token loss in nats of tokens (B, S) against targets (B, S); layer i looks 2^i tokens back."""

    def __init__(self, vocab_size: int, width: int, depth: int, backend: str):
        super().__init__()
        self.ops = get_ops(backend)
        self.tokens = nn.Embedding(vocab_size, width)
        self.norms = nn.ParameterList(torch.ones(width) for _ in range(depth + 1))
        self.up = nn.ParameterList(torch.randn(2 * width, 2 * width) * INIT_STD for _ in range(depth))
        self.down = nn.ParameterList(torch.randn(width, 2 * width) * INIT_STD for _ in range(depth))
        nn.init.normal_(self.tokens.weight, std=INIT_STD)

    def forward(self, tokens_BS: Tensor, targets_BS: Tensor) -> Tensor:
        x = self.tokens(tokens_BS)
        for i, (up, down) in enumerate(zip(self.up, self.down, strict=True)):
            h = self.ops.rms_norm(x, self.norms[i])
            before = nn.functional.pad(h, (0, 0, 2**i, 0))[:, : h.shape[1]]
            x = x + self.ops.mlp(torch.cat([h, before], -1), up, None, down, None)
        return self.ops.linear_cross_entropy(self.ops.rms_norm(x, self.norms[-1]), self.tokens.weight, targets_BS)


class ShiftTask(GPTTask):
    """Batches, validation and notes are those of "gpt": windows of tokens."""

    def training_flops(self) -> float:
        products = self.config.depth * 6 * self.config.width**2 + self.config.width * self.data.vocab_size
        return 3 * 2 * products * self.config.tokens_per_step  # forward once, backward twice

    @staticmethod
    def build(config: RunConfig, facts: dict[str, Any]) -> nn.Module:
        return ShiftModel(facts["vocab_size"], config.width, config.depth, config.backend)


FAMILIES["shift"] = Family("builtin:python", lr=3e-3, tokens=200_000, batch_size=16, counts_tokens=True)
TASKS["shift"] = ShiftTask

if __name__ == "__main__":
    trainers = {
        backend: Trainer(
            RunConfig.from_dict({"family": "shift", "width": 128, "depth": 6, "backend": backend, "evals": 4})
        )
        for backend in ("torch", "laim")
    }
    while not trainers["laim"].finished:
        for backend, trainer in trainers.items():
            now = trainer.advance()
            print(f"{backend:6} step {now.step:4}  val loss {now.val_loss:.4f}  {now.train_s:.1f} s")
