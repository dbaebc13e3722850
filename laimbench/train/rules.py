"""The rules that make one dial enough: of a family and a size, heads, learning rate and everything else that is not given."""

from dataclasses import dataclass
from typing import Any

from laimbench.errors import InputError
from laimbench.models.presets import PRESETS

LR_WIDTH = 128  # where a family's learning rate holds; it goes with a power of LR_WIDTH / width
HEAD_SIZE = 64


@dataclass(frozen=True)
class Family:
    """What a family does unless told otherwise. lr: at width 128, times (128 / width)^lr_power elsewhere. counts_tokens: ``tokens`` are
    tokens of text, else samples.
    """

    data: str
    lr: float
    tokens: int
    lr_power: float = 0.5
    schedule: str = "cosine"
    batch_size: int = 32
    counts_tokens: bool = False


FAMILIES = {
    "gpt": Family("builtin:python", lr=1.5e-3, tokens=200_000, batch_size=8, counts_tokens=True),
    "mlp": Family("builtin:digits", lr=1e-3, tokens=14_380, lr_power=0.0),  # ten epochs, at the rate that defines it
    "bert": Family("builtin:python", lr=1.75e-3, tokens=500_000, lr_power=0.75, batch_size=16, counts_tokens=True),
    "transformer": Family("builtin:dates", lr=1e-3, tokens=50_000, lr_power=0.75, schedule="noam"),
    "vit": Family("builtin:digits", lr=1e-3, tokens=28_760, lr_power=1.0),
    "audio": Family("builtin:spoken-digits", lr=6e-3, tokens=20_000, lr_power=1.0),
}


def default_heads(width: int) -> int:
    """Heads of size 32 up to width 128 and 64 above."""
    return max(1, width // (HEAD_SIZE // 2 if width <= 2 * HEAD_SIZE else HEAD_SIZE))


def default_lr(family: str, width: int) -> float:
    """Peak learning rate: the family's at width 128, times (128 / width)^power.

    Adam's steps have the same size for every weight, and a layer's output adds up ``width`` of them, so that the best rate falls with
    width, at most in proportion (Yang et al. 2022, "Tensor Programs V"). The powers are those with which it moves least over the widths of
    ``make study-transfer``.
    """
    chosen = FAMILIES[family]
    return chosen.lr * (LR_WIDTH / width) ** chosen.lr_power


def of_size(family: str, size: int | str) -> dict[str, Any]:
    """Return the values that a size stands for: a number is the depth, with 64 channels for each block, and the hidden width
    of an "mlp"; a name is one of ``models.presets``.

    Raises:
        InputError: no such size.
    """
    if isinstance(size, str) and size.isdecimal():
        size = int(size)
    if isinstance(size, str):
        if PRESETS.get(size, {}).get("family") != family:
            names = ", ".join(name for name, shape in PRESETS.items() if shape["family"] == family)
            raise InputError(
                f"size is {size!r}, expected a number{' or one of ' + names if names else ''} for {family}"
            )
        return dict(PRESETS[size])
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise InputError(f"size is {size!r}, expected a number from 1 on, or a preset's name")
    return {"width": size} if family == "mlp" else {"depth": size, "width": HEAD_SIZE * size}
