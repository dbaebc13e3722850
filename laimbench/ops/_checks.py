"""Argument checks shared by the ops: each error names the argument, what it was, and what was expected.

``TypeError`` for a wrong kind of argument or dtype, ``ValueError`` for a wrong shape, device or value.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from laimbench.ops._extension import BUILD

_CPU, _CUDA = (torch.float64, torch.float32, torch.bfloat16), (torch.float32, torch.bfloat16, torch.float16)
# By device, as far as this build has kernels for it. A twin's CUDA kernels run on CPU tensors.
DTYPES = {"cpu": _CUDA if BUILD["cuda"] == "twin" else _CPU, "meta": tuple(dict.fromkeys(_CPU + _CUDA))}
if BUILD["cuda"] == "device":
    DTYPES["cuda"] = _CUDA


def tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is {type(value).__name__}, expected a torch.Tensor")
    if not value.is_cpu and value.device.type not in DTYPES:  # a device by name costs several times as much to ask for
        built = " or cuda" if "cuda" in DTYPES else " (this build has no CUDA kernels)" if value.is_cuda else ""
        raise ValueError(f"{name} is on {value.device}, expected cpu{built}; on other devices use the stock PyTorch op")
    if value.layout != torch.strided:
        raise ValueError(f"{name} has layout {value.layout}, expected torch.strided; call {name}.to_dense()")


def floating(name: str, value: object) -> None:
    tensor(name, value)
    known = DTYPES["cpu" if value.is_cpu else value.device.type]
    if value.dtype not in known:
        *most, last = (str(dtype).removeprefix("torch.") for dtype in known)
        raise TypeError(
            f"{name} has dtype {value.dtype}, expected {', '.join(most)} or {last}; convert it with {name}.to(...)"
        )


def same_dtype(first: str, reference: Tensor, **others: Tensor | None) -> None:
    for name, value in others.items():
        if value is None:
            continue
        floating(name, value)
        if value.dtype != reference.dtype:
            raise TypeError(f"{name} has dtype {value.dtype}, expected {reference.dtype} as {first} has")
        same_device(first, reference, name, value)


def same_device(first: str, reference: Tensor, name: str, value: Tensor) -> None:
    if not (value.is_cpu and reference.is_cpu) and value.device != reference.device:
        raise ValueError(f"{name} is on {value.device}, expected {reference.device} as {first} is")


def shape(name: str, value: Tensor, expected: tuple[int, ...], meaning: str) -> None:
    """``expected`` is the exact shape, ``meaning`` how the documentation writes it."""
    if tuple(value.shape) != expected:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, expected {expected} for {meaning}")


def dimensions(name: str, value: object, count: int, meaning: str) -> None:
    """Also the check that a tensor which must be given is one."""
    tensor(name, value)
    if value.dim() != count:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, expected {count} dimensions {meaning}")


def at_least_one_dimension(name: str, value: Tensor, meaning: str) -> None:
    if value.dim() < 1:
        raise ValueError(f"{name} is a scalar, expected {meaning}")


def choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(choices)}")


def number(name: str, value: object, *, finite: bool = True, positive: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {type(value).__name__}, expected a number")
    try:
        value = float(value)
    except OverflowError:
        raise ValueError(f"{name} is an integer of {value.bit_length()} bits, expected a number in float64") from None
    if finite and not (-float("inf") < value < float("inf")):
        raise ValueError(f"{name} is {value}, expected a finite number")
    if positive and value < 0:
        raise ValueError(f"{name} is {value}, expected 0 or more")
    return value


def integer(name: str, value: object, *, least: int = -(2**63)) -> int:
    """An integer that the kernels can hold, ``least`` or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {type(value).__name__}, expected an integer")
    if value < least:
        raise ValueError(f"{name} is {value}, expected {least} or more")
    if value >= 2**63:
        raise ValueError(f"{name} is {value}, expected less than 2^63")
    return value


def wants_gradient(*inputs: Tensor | None) -> bool:
    """Tell whether a backward may follow, so that what it needs must be made or kept."""
    return torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in inputs)


@contextmanager
def named_errors() -> Iterator[None]:
    """Turn the extension's own complaints about values (``laimbench: ...``) into ``ValueError``."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not text.startswith("laimbench: "):
            raise
        raise ValueError(text.removeprefix("laimbench: ").splitlines()[0]) from None
