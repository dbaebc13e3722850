"""The smallest model worth scaling: linear, ReLU, linear; or more layers of the same."""

import torch
from torch import Tensor, nn

from laimbench.errors import InputError
from laimbench.models.backends import get_ops


class SimpleModel(nn.Module):
    """Logits (B, output_size) of x (B, input_size) by ``depth`` linear layers; loss by cross-entropy."""

    def __init__(
        self,
        input_size: int = 10,
        hidden_size: int = 50,
        output_size: int = 2,
        backend: str = "torch",
        depth: int = 2,
    ):
        super().__init__()
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("output_size", output_size)):
            if value < 1:
                raise InputError(f"{name} is {value}, expected 1 or more")
        if depth < 2:
            raise InputError(f"depth is {depth}, expected 2 or more linear layers")
        self.ops = get_ops(backend)
        self.hidden = nn.Linear(input_size, hidden_size)
        self.deeper = nn.ModuleList(nn.Linear(hidden_size, hidden_size) for _ in range(depth - 2))
        self.output = nn.Linear(hidden_size, output_size)

    def logits(self, x: Tensor) -> Tensor:
        """Return (B, output_size); the last two layers with the ReLU between them are one op."""
        *first, last = [self.hidden, *self.deeper]
        for layer in first:
            x = self.ops.linear(x, layer.weight, layer.bias).relu()
        return self.ops.mlp(x, last.weight, last.bias, self.output.weight, self.output.bias, activation="relu")

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(self.logits(x).float(), target)
