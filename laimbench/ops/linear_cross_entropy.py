"""Output layer and cross-entropy in one, without the (tokens, vocabulary) logits. C channels, V vocabulary."""

import torch
from torch import Tensor

from laimbench.ops import _autocast, _checks, _extension  # noqa: F401  (_extension registers the kernels)
from laimbench.ops._autograd import differentiable
from laimbench.ops.linear import check_linear

_ops = torch.ops.laimbench
REDUCTIONS = ("mean", "sum", "none")


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    *,
    bias: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Return the cross-entropy of the logits x weightᵀ + bias against target, in nats.

    Args:
        x: (..., C), any strides, float64, float32 or bfloat16; on CUDA float32, bfloat16 or float16.
        weight: (V, C); bias: (V,) or None.
        target: (...) integers, 0 <= target < V or ``ignore_index``. Another one raises; on CUDA, where a look at it would
            wait for the device, it makes the loss NaN.
        ignore_index: such tokens count nowhere.
        reduction: "mean" over counted tokens (NaN when there is none, as stock has it), "sum", or "none" for shape (...).

    The loss is float32 (float64 for float64). With "mean" and "sum" the gradients are computed in the forward, chunk of
    tokens by chunk, because the logits are at hand there; with "none" the backward computes the logits again.

    Raises:
        TypeError, ValueError: naming the argument, what it was and what was expected.

    Source: Hsu et al. 2024, Liger Kernel (arXiv:2410.10989), section 3.2.
    """
    x, weight, bias = _autocast.cast(x, weight, bias)
    check_linear(("x", x), ("weight", weight), ("bias", bias))
    _checks.tensor("target", target)
    if target.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"target has dtype {target.dtype}, expected int64 or int32")
    _checks.same_device("x", x, "target", target)
    _checks.shape("target", target, tuple(x.shape[:-1]), "(...) as x has without C")
    _checks.choice("reduction", reduction, REDUCTIONS)
    _checks.integer("ignore_index", ignore_index)
    target = target.to(torch.int64).reshape(-1)
    keep = _checks.wants_gradient(x, weight, bias)
    with _checks.named_errors():
        if reduction == "none":
            losses = _linear_cross_entropy(x, weight, bias, target, ignore_index, None, False)[0]
            return losses.view(x.shape[:-1])
        counted = (target != ignore_index).to(_loss_dtype(x))
        scale = counted / counted.sum() if reduction == "mean" else counted
        loss = _linear_cross_entropy(x, weight, bias, target, ignore_index, scale, keep)[0]
    # the mean of no token at all: with tokens that are all ignored the division above gives the NaN
    return loss + float("nan") if reduction == "mean" and target.numel() == 0 else loss


def _loss_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


@torch.library.register_fake("laimbench::linear_cross_entropy")
def _(x, w, b, target, ignore_index, scale, with_gradients):
    return (
        x.new_empty(target.shape if scale is None else (), dtype=_loss_dtype(x)),
        x.new_empty(x.shape if with_gradients else 0),
        w.new_empty(w.shape if with_gradients else (0, w.shape[1])),
        w.new_empty(w.shape[0] if with_gradients and b is not None else 0),
    )


def _setup_context(ctx, inputs, output):
    x, w, b, target, ctx.ignore_index, _scale, ctx.with_gradients = inputs
    _, *gradients = output
    ctx.has_bias = b is not None
    ctx.reduced = _scale is not None
    ctx.save_for_backward(*(gradients if ctx.with_gradients else (x, w, b, target)))
    ctx.mark_non_differentiable(*gradients)
    ctx.set_materialize_grads(False)


def _may_give_away(gradient: Tensor) -> bool:
    """Tell whether the gradients made in the forward are the ones wanted and nobody asks for them again.

    ``loss.backward()`` brings 1: a copy of the vocabulary's gradient times 1 would take as much memory again.
    """
    plain = type(gradient) is Tensor and gradient.is_cpu  # can be read here and now, is not traced
    return plain and not torch._C._autograd._get_current_graph_task_keep_graph() and gradient.item() == 1


def _backward(ctx, gradient, *_gradients):
    if gradient is None:
        return (None,) * 7
    if ctx.with_gradients:
        kept = ctx.saved_tensors
        dx, dw, db = kept if _may_give_away(gradient) else (value * gradient for value in kept)
    elif ctx.reduced:
        raise RuntimeError("laimbench::linear_cross_entropy was called with with_gradients=False: it has no gradient")
    else:
        x, w, b, target = ctx.saved_tensors
        _, dx, dw, db = _ops.linear_cross_entropy(x, w, b, target, ctx.ignore_index, gradient, True)
    return dx, dw, db if ctx.has_bias else None, None, None, None, None


_linear_cross_entropy = differentiable("linear_cross_entropy", _backward, _setup_context)
