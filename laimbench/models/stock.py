"""Stock PyTorch's way of every op, with the signatures of ``laimbench.ops``: the other side of each comparison.

What PyTorch offers beside it for the same op is in ``others``: a comparison is with whichever is fastest.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from laimbench.errors import InputError

ACTIVATIONS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


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
    """SDPA, by its flash kernel wherever the mask allows it."""
    queries, keys = q.shape[-2], k.shape[-2]
    mask = None
    if key_lengths is not None or window is not None or (causal and queries != keys):
        position = torch.arange(queries, device=q.device).view(-1, 1) + keys - queries
        key = torch.arange(keys, device=q.device)
        mask = torch.ones(queries, keys, dtype=torch.bool, device=q.device)
        if causal:
            mask = mask & (key <= position)
        if window is not None:
            mask = mask & ((key - position).abs() < window)
        if key_lengths is not None:
            mask = mask & (key < key_lengths.view(-1, 1, 1, 1))
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal and mask is None, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )


def linear(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """``F.linear``."""
    return F.linear(x, w, b)


def mlp(x: Tensor, w1: Tensor, b1: Tensor | None, w2: Tensor, b2: Tensor | None, *, activation: str = "gelu") -> Tensor:
    """Two ``F.linear`` and the activation."""
    return F.linear(_activate(activation, F.linear(x, w1, b1)), w2, b2)


def gated_mlp(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor, *, activation: str = "silu") -> Tensor:
    """Three ``F.linear``, the activation and the product."""
    return F.linear(_activate(activation, F.linear(x, w_gate)) * F.linear(x, w_up), w_down)


def _activate(activation: str, x: Tensor) -> Tensor:
    if activation not in ACTIVATIONS:
        raise InputError(f"activation is {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[activation](x)


def layer_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None = None, *, eps: float = 1e-5, residual: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """``F.layer_norm``, after the addition of the residual."""
    total = x if residual is None else x + residual
    out = F.layer_norm(total, total.shape[-1:], weight, bias, eps)
    return out if residual is None else (out, total)


def rms_norm(
    x: Tensor, weight: Tensor | None, *, eps: float = 1e-6, residual: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """``F.rms_norm``, after the addition of the residual."""
    total = x if residual is None else x + residual
    out = F.rms_norm(total, total.shape[-1:], weight, eps)
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
    """``F.cross_entropy`` of ``F.linear``, all logits at once, in fp32."""
    logits = F.linear(x, weight, bias).reshape(-1, weight.shape[0])
    loss = F.cross_entropy(logits.float(), target.reshape(-1), ignore_index=ignore_index, reduction=reduction)
    return loss.view(target.shape) if reduction == "none" else loss


def cross_entropy_as_is(x: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """``F.cross_entropy`` of ``F.linear`` in the type of its inputs: in bf16 faster and less exact."""
    return F.cross_entropy(F.linear(x, weight), target)


def chunked_cross_entropy(x: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """``F.linear_cross_entropy``, which has logits of some rows at a time."""
    return F.linear_cross_entropy(x, weight, target)


def _by_backend(name: str) -> Callable[..., Tensor]:
    def sdpa(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
        with sdpa_kernel(SDPBackend[name]):
            return attention(q, k, v, causal=causal)

    return sdpa


# By device, op and name. torch.compile changes nothing of the chunked one, which is one op to it.
_EVERYWHERE = {
    "linear_cross_entropy": {
        "as is": cross_entropy_as_is,
        **({"chunked": chunked_cross_entropy} if hasattr(F, "linear_cross_entropy") else {}),
    }
}
_OTHERS = {
    "cpu": _EVERYWHERE,
    "cuda": {
        **_EVERYWHERE,
        "attention": {"flash": _by_backend("FLASH_ATTENTION"), "cudnn": _by_backend("CUDNN_ATTENTION")},
    },
}


def others(op: str, device: str) -> dict[str, Callable[..., Tensor]]:
    """Return what PyTorch offers on a device beside this module's way of an op, by name; not all of it takes every dtype."""
    return _OTHERS[device].get(op, {})
