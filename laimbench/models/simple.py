"""The smallest model worth scaling: linear, ReLU, linear."""

import torch
from torch import Tensor, nn

from laimbench.models.backends import get_ops


class SimpleModel(nn.Module):
    """Logits (B, output_size) of x (B, input_size) through one hidden layer; loss by cross-entropy."""

    def __init__(self, input_size: int = 10, hidden_size: int = 50, output_size: int = 2, backend: str = "torch"):
        super().__init__()
        self.ops = get_ops(backend)
        self.hidden = nn.Linear(input_size, hidden_size)
        self.output = nn.Linear(hidden_size, output_size)

    def logits(self, x: Tensor) -> Tensor:
        return self.ops.mlp(
            x, self.hidden.weight, self.hidden.bias, self.output.weight, self.output.bias, activation="relu"
        )

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(self.logits(x).float(), target)
