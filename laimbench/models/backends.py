"""The four ways to run one model definition: whose ops, and whether under torch.compile."""

from types import ModuleType

import torch
from torch import nn

from laimbench.errors import InputError

BACKENDS = ("laim", "torch", "compile", "laim+compile")


def get_ops(backend: str) -> ModuleType:
    """Return the module whose functions a model calls: ``laimbench.ops`` or stock PyTorch's.

    Raises:
        InputError: unknown backend.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}")
    if backend.startswith("laim"):
        from laimbench import ops

        return ops
    from laimbench.models import stock

    return stock


def prepare(model: nn.Module, backend: str) -> nn.Module:
    """Compile the model where the backend says so; shapes of a run are fixed, so they are compiled in."""
    return torch.compile(model, dynamic=False) if backend.endswith("compile") else model
