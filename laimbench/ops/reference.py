"""The same ops in plain PyTorch, any dtype, materialising everything: the truth that tests compare with."""

import torch
from torch import Tensor
from torch.nn import functional as F


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    scale: float | None = None,
    key_lengths: Tensor | None = None,
    window: int | None = None,
) -> Tensor:
    """Return what ``laimbench.ops.attention`` returns, with the (B, Hq, Sq, Skv) scores in memory."""
    queries, channels = q.shape[-2:]
    heads, keys = k.shape[-3], k.shape[-2]
    if heads:
        k, v = (value.repeat_interleave(q.shape[1] // heads, dim=1) for value in (k, v))
    scores = (
        q
        @ k.transpose(-1, -2)
        * (channels**-0.5 if scale is None and channels else scale if scale is not None else 1.0)
    )
    seen = visible(queries, keys, q.shape[0], causal=causal, key_lengths=key_lengths, window=window).to(q.device)
    scores = scores.masked_fill(~seen, -torch.inf)
    some = seen.any(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(~some, 0.0), dim=-1).masked_fill(~seen, 0.0)
    return weights @ v


def visible(
    queries: int,
    keys: int,
    batch: int,
    *,
    causal: bool = False,
    key_lengths: Tensor | None = None,
    window: int | None = None,
) -> Tensor:
    """Return which keys each query sees, bool (batch, 1, queries, keys)."""
    position = torch.arange(queries).view(-1, 1) + keys - queries
    key = torch.arange(keys).view(1, -1)
    seen = torch.ones(batch, 1, queries, keys, dtype=torch.bool)
    if causal:
        seen &= key <= position
    if window is not None:
        seen &= (key - position).abs() < window
    if key_lengths is not None:
        seen &= key < key_lengths.cpu().view(-1, 1, 1, 1)
    return seen


_ACTIVATIONS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


def linear(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """Return what ``laimbench.ops.linear`` returns."""
    return F.linear(x, w, b)


def mlp(x: Tensor, w1: Tensor, b1: Tensor | None, w2: Tensor, b2: Tensor | None, *, activation: str = "gelu") -> Tensor:
    """Return what ``laimbench.ops.mlp`` returns."""
    return F.linear(_ACTIVATIONS[activation](F.linear(x, w1, b1)), w2, b2)


def gated_mlp(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor, *, activation: str = "silu") -> Tensor:
    """Return what ``laimbench.ops.gated_mlp`` returns."""
    return F.linear(_ACTIVATIONS[activation](F.linear(x, w_gate)) * F.linear(x, w_up), w_down)


def layer_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None = None, *, eps: float = 1e-5, residual: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Return what ``laimbench.ops.layer_norm`` returns."""
    total = x if residual is None else x + residual
    out = F.layer_norm(total, x.shape[-1:], weight, bias, eps)
    return out if residual is None else (out, total)


def rms_norm(
    x: Tensor, weight: Tensor | None, *, eps: float = 1e-6, residual: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Return what ``laimbench.ops.rms_norm`` returns."""
    total = x if residual is None else x + residual
    out = total * (total.square().mean(-1, keepdim=True) + eps).rsqrt()
    out = out if weight is None else out * weight
    return out if residual is None else (out, total)


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    *,
    bias: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Return what ``laimbench.ops.linear_cross_entropy`` returns, with the (tokens, V) logits in memory."""
    logits = F.linear(x, weight, bias).reshape(-1, weight.shape[0])
    loss = F.cross_entropy(logits, target.reshape(-1).long(), ignore_index=ignore_index, reduction=reduction)
    return loss.view(target.shape) if reduction == "none" else loss
