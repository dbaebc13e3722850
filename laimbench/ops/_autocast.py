"""Autocast for our ops: inside ``torch.autocast`` their floating inputs are cast as stock's matmuls cast theirs."""

import torch
from torch import Tensor


def dtype_for(*tensors: object) -> torch.dtype | None:
    """Return autocast's dtype on the device of the first tensor, None where it is not active."""
    if not (torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")):
        return None
    device = next((value.device.type for value in tensors if isinstance(value, Tensor)), "cpu")
    if device not in ("cpu", "cuda") or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)


def cast(*tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    """Return the tensors in autocast's dtype where it is active (float64 is left alone, as stock leaves it)."""
    dtype = dtype_for(*tensors)
    if dtype is None:
        return tensors
    return tuple(
        value.to(dtype)
        if isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64
        else value
        for value in tensors
    )
