"""Autocast for our ops: inside ``torch.autocast`` their floating inputs are cast as stock's matmuls cast theirs."""

import torch
from torch import Tensor


def cast(*tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    """Return the tensors in autocast's dtype where it is active (float64 is left alone, as stock leaves it)."""
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    dtype = torch.get_autocast_dtype("cpu")
    return tuple(
        value.to(dtype)
        if isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64
        else value
        for value in tensors
    )
