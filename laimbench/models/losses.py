"""Losses that models share beyond the ops."""

from types import ModuleType

from torch import Tensor

IGNORED = -100  # a target that counts nowhere


def smoothed_cross_entropy(ops: ModuleType, x: Tensor, weight: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Return the mean cross-entropy against targets that keep 1 - smoothing and share the rest among all classes.

    Source: Szegedy et al. 2016, section 7. With logits z = x weight^T the smoothed loss is the plain one plus smoothing x
    (z_target - mean z), and mean z = x . mean of weight's rows: the logits need not exist as a whole.

    Args:
        x: (..., C); weight: (V, C); target: (...,) with IGNORED where nothing is asked.
    """
    loss = ops.linear_cross_entropy(x, weight, target)
    if not smoothing:
        return loss
    counted = target != IGNORED
    above_mean = ((weight[target.clamp(min=0)] - weight.mean(0)) * x).sum(-1)
    return loss + smoothing * (above_mean * counted).sum() / counted.sum().clamp(min=1)
