"""What all layouts share: what reading one finds, and what is said where one has no such option."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from laimbench.errors import InputError


@dataclass(frozen=True)
class Found:
    """A model of others in our terms. config: of a run; facts: of its data; weights by our names; notes: lines for the user."""

    config: dict[str, Any]
    facts: dict[str, Any]
    weights: dict[str, Tensor]
    notes: tuple[str, ...] = field(default=())


def require(architecture: str, option: str, value: Any, *expected: Any) -> None:
    """Refuse to write a model that ``architecture`` cannot be."""
    if value not in expected:
        choices = " or ".join(str(choice) for choice in expected)
        raise InputError(f"{option} is {value}, which {architecture} does not have, expected {choices}")
