"""A small speech encoder over log-mel frames: one class per clip, or a sequence of labels by CTC.

Shapes: B batch, T frames, N steps after subsampling, C channels, L labels. Sources: Gulati et al. 2020 (subsampling before an
encoder), Graves et al. 2006 (CTC).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from laimbench.errors import require_at_least_one
from laimbench.models.backends import get_ops
from laimbench.models.blocks import BlockConfig, Context, Linear, Stack, initialise, sinusoidal_positions

BLANK = 0  # of CTC: the labels of transcripts are 1 to ``labels``


@dataclass(frozen=True)
class AudioConfig:
    """Shape of the encoder. labels: classes, or symbols of a transcript (ctc), the blank not counted. A step is ``stride`` frames, seen through a
    window of twice that.
    """

    bands: int
    labels: int
    width: int
    depth: int
    heads: int
    ctc: bool = False
    stride: int = 4
    hidden: int = 0
    mlp: str = "gelu"
    norm: str = "layer"

    def __post_init__(self):
        require_at_least_one(self, "bands", "labels", "width", "depth", "heads", "stride")
        self.block  # noqa: B018 - raises what is wrong with it

    @property
    def block(self) -> BlockConfig:
        return BlockConfig(self.width, self.heads, hidden=self.hidden, mlp=self.mlp, norm=self.norm)

    def steps(self, frames):
        """Return how many steps come of so many frames (a number or a tensor)."""
        return (frames + self.stride - 1) // self.stride


class AudioEncoder(nn.Module):
    """Mean loss in nats of log-mel frames (B, T, bands), of these lengths (B,), against classes (B,) or transcripts."""

    def __init__(self, config: AudioConfig, backend: str = "torch"):
        super().__init__()
        self.config, self.ops = config, get_ops(backend)
        self.subsample = Linear(2 * config.stride * config.bands, config.width, self.ops)
        self.stack = Stack(config.block, config.depth, self.ops)
        self.output = Linear(config.width, config.labels + int(config.ctc), self.ops)
        initialise(self)
        nn.init.normal_(self.subsample.weight, std=(2 * config.stride * config.bands) ** -0.5)

    def embedding_parameters(self) -> int:
        return 0

    def hidden(self, frames_BTM: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, N, C) and the number of steps (B,) that are not padding."""
        config, length = self.config, frames_BTM.shape[1]
        valid = (torch.arange(length, device=lengths_B.device) < lengths_B[:, None])[..., None]
        # Loudness is a constant in log power: take it out.
        mean = (frames_BTM * valid).sum((1, 2)) / (lengths_B * config.bands)
        x = (frames_BTM - mean.view(-1, 1, 1)) * valid
        padding = config.steps(length) * config.stride + config.stride - length
        windows = F.pad(x, (0, 0, 0, padding)).unfold(1, 2 * config.stride, config.stride).flatten(2)
        x = F.gelu(self.subsample(windows)).to(frames_BTM.dtype)
        x = x + sinusoidal_positions(torch.arange(x.shape[1], device=x.device), config.width)
        steps = config.steps(lengths_B)
        return self.stack(x, Context(key_lengths=steps)), steps

    def logits(self, frames_BTM: Tensor, lengths_B: Tensor) -> Tensor:
        """Return (B, labels) of whole clips, or with CTC (B, N, labels + 1), the blank first."""
        h, steps = self.hidden(frames_BTM, lengths_B)
        if self.config.ctc:
            return self.output(h)
        valid = (torch.arange(h.shape[1], device=h.device) < steps[:, None])[..., None]
        return self.output((h * valid).sum(1) / steps[:, None])

    def forward(self, frames_BTM: Tensor, lengths_B: Tensor, targets: Tensor, target_lengths: Tensor | None = None):
        """``targets``: classes (B,); with CTC labels (B, U), of which ``target_lengths`` (B,) count."""
        logits = self.logits(frames_BTM, lengths_B).float()
        if not self.config.ctc:
            return F.cross_entropy(logits, targets)
        log_probs = logits.log_softmax(-1).transpose(0, 1)
        losses = F.ctc_loss(
            log_probs, targets, self.config.steps(lengths_B), target_lengths, BLANK, "none", zero_infinity=True
        )
        return losses.sum() / target_lengths.sum()
