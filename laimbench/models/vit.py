"""ViT: an image as a sequence of patches through a pre-norm encoder.

Shapes: B batch, K colours, P patch side, N patches, C channels. Source: Dosovitskiy et al. 2021.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from laimbench.errors import InputError, require_at_least_one
from laimbench.models.backends import get_ops
from laimbench.models.blocks import BlockConfig, Context, Linear, Stack, initialise

POSITION_STD = 0.5  # about the standard deviation of what patches become


@dataclass(frozen=True)
class ViTConfig:
    """Shape of a ViT for square images of ``image_size`` in patches of ``patch``."""

    image_size: int
    colours: int
    patch: int
    classes: int
    width: int
    depth: int
    heads: int
    hidden: int = 0
    mlp: str = "gelu"
    norm: str = "layer"

    def __post_init__(self):
        require_at_least_one(self, "image_size", "colours", "patch", "classes", "width", "depth", "heads")
        if self.image_size % self.patch:
            raise InputError(f"image_size {self.image_size} is not a multiple of patch {self.patch}")
        self.block  # noqa: B018 - raises what is wrong with it

    @property
    def block(self) -> BlockConfig:
        return BlockConfig(self.width, self.heads, hidden=self.hidden, mlp=self.mlp, norm=self.norm)

    @property
    def patches(self) -> int:
        return (self.image_size // self.patch) ** 2

    @property
    def patch_values(self) -> int:
        return self.colours * self.patch**2


class ViT(nn.Module):
    """Mean loss in nats of images (B, K, H, W) in [0, 1] against classes (B,)."""

    def __init__(self, config: ViTConfig, backend: str = "torch"):
        super().__init__()
        self.config, self.ops = config, get_ops(backend)
        self.embed = Linear(config.patch_values, config.width, self.ops)
        self.first = nn.Parameter(torch.zeros(config.width))  # the token that the class is read from
        self.positions = nn.Embedding(config.patches + 1, config.width)
        self.stack = Stack(config.block, config.depth, self.ops)
        self.classify = Linear(config.width, config.classes, self.ops)
        # Pixels are no tokens, of which each has a vector of its own: with small weights attention sees a mean of all patches for
        # a long time. So weights keep the variance of what they read, and places are as large as what patches say.
        initialise(self, std=None)
        nn.init.normal_(self.positions.weight, std=POSITION_STD)
        nn.init.normal_(self.first, std=POSITION_STD)

    def embedding_parameters(self) -> int:
        return self.positions.weight.numel() + self.first.numel()

    def logits(self, images: Tensor) -> Tensor:
        """Return (B, classes)."""
        side = self.config.patch
        patches = images.unfold(2, side, side).unfold(3, side, side)  # (B, K, rows, columns, P, P)
        patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        x = torch.cat(
            [self.first.expand(images.shape[0], 1, -1).to(images.dtype), self.embed(patches).to(images.dtype)], 1
        )
        h = self.stack(x + self.positions.weight, Context())
        return self.classify(h[:, 0])

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(images).float(), targets)
