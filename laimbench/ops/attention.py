"""Scaled dot-product attention whose scores never reach memory.

Shapes: B batch, Hq query heads, Hkv key heads, Sq queries, Skv keys, D head size.
"""

import torch
from torch import Tensor

from laimbench.ops import _autocast, _checks, _extension  # noqa: F401  (_extension registers the kernels)
from laimbench.ops._autograd import differentiable

_ops = torch.ops.laimbench


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
    """Return softmax(scale q kᵀ + mask) v, shape (B, Hq, Sq, D).

    Args:
        q: queries (B, Hq, Sq, D), any strides, float64, float32 or bfloat16; on CUDA float32, bfloat16 or float16.
        k: keys (B, Hkv, Skv, D); Hq must be a multiple of Hkv (grouped-query attention).
        v: values (B, Hkv, Skv, D).
        causal: query i sees keys up to i + Skv - Sq: aligned to the bottom right.
        scale: factor of the scores, 1 / sqrt(D) by default.
        key_lengths: (B,) integers; keys from there on are padding.
        window: the ``window`` nearest keys on each side are seen, the query's own position included.

    A query that sees no key gets zeros, and contributes zero gradients. Scores and sums are held in float32
    (float64 for float64). Memory beyond inputs and outputs is O(S).

    Raises:
        TypeError, ValueError: naming the argument, what it was and what was expected.

    Source: Dao 2023, FlashAttention-2 (arXiv:2307.08691); Milakov & Gimelshein 2018 (arXiv:1805.02867).
    """
    q, k, v = _autocast.cast(q, k, v)
    _checks.floating("q", q)
    _checks.same_dtype("q", q, k=k, v=v)
    for name, value in (("q", q), ("k", k), ("v", v)):
        _checks.dimensions(name, value, 4, "(B, H, S, D)")
    batch, heads, _, channels = q.shape
    key_heads, keys = k.shape[1], k.shape[2]
    _checks.shape("k", k, (batch, key_heads, keys, channels), "(B, Hkv, Skv, D) with q's B and D")
    _checks.shape("v", v, (batch, key_heads, keys, channels), "(B, Hkv, Skv, D) as k has")
    if heads != key_heads and (key_heads == 0 or heads % key_heads != 0):
        raise ValueError(f"q has {heads} heads and k has {key_heads}, expected a multiple of k's")
    factor = (
        channels**-0.5 if scale is None and channels > 0 else _checks.number("scale", 1.0 if scale is None else scale)
    )
    if key_lengths is not None:
        _checks.tensor("key_lengths", key_lengths)
        if key_lengths.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"key_lengths has dtype {key_lengths.dtype}, expected int64 or int32")
        _checks.shape("key_lengths", key_lengths, (batch,), "(B,)")
        _checks.same_device("q", q, "key_lengths", key_lengths)
        key_lengths = key_lengths.to(torch.int64)
    if window is not None:
        _checks.integer("window", window, least=1)
    return _attention(q, k, v, bool(causal), factor, key_lengths, -1 if window is None else window)[0]


def _empty_heads(like: Tensor) -> Tensor:
    batch, heads, rows, channels = like.shape
    return like.new_empty(batch, rows, heads, channels).transpose(1, 2)


@torch.library.register_fake("laimbench::attention")
def _(q, k, v, causal, scale, key_lengths, window):
    lse_dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    return _empty_heads(q), q.new_empty(q.shape[:3], dtype=lse_dtype)


@torch.library.register_fake("laimbench::attention_backward")
def _(gradient, q, k, v, out, lse, causal, scale, key_lengths, window):
    return _empty_heads(q), _empty_heads(k), _empty_heads(v)


def _setup_context(ctx, inputs, output):
    q, k, v, ctx.causal, ctx.scale, key_lengths, ctx.window = inputs
    out, lse = output
    ctx.save_for_backward(q, k, v, out, lse, key_lengths)
    ctx.mark_non_differentiable(lse)
    ctx.set_materialize_grads(False)


def _backward(ctx, gradient, _gradient_lse):
    if gradient is None:
        return (None,) * 7
    q, k, v, out, lse, key_lengths = ctx.saved_tensors
    gradients = _ops.attention_backward(gradient, q, k, v, out, lse, ctx.causal, ctx.scale, key_lengths, ctx.window)
    return *gradients, None, None, None, None


_attention = differentiable("attention", _backward, _setup_context)
