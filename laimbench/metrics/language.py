"""Perplexity, bits per byte and loss by position, from a language model's losses per token."""

from typing import Any

import numpy as np

from laimbench.errors import InputError


def perplexity(losses: Any) -> float:
    """Return exp(mean loss). It depends on the tokenizer: compare bits per byte between tokenizers.

    Args:
        losses: -log p of each token in nats, of any shape.

    Raises:
        InputError: no losses, or some that are NaN.
    """
    with np.errstate(over="ignore"):  # infinite, as the loss of a token that was held impossible
        return float(np.exp(_losses(losses).mean()))


def bits_per_byte(losses: Any, byte_count: float) -> float:
    """Return sum of losses / (bytes · ln 2): nats per token × tokens over bytes, in bits.

    Args:
        losses: -log p of each token in nats, of any shape.
        byte_count: of the text that these very tokens stand for. Of windows out of a stream whose bytes are known as a whole:
            tokens × bytes of the stream / tokens of the stream.

    Raises:
        InputError: no losses, some that are NaN, or a number of bytes that is not positive.
    """
    if not byte_count > 0:
        raise InputError(f"byte_count is {byte_count}, expected a positive number")
    return float(_losses(losses).sum() / (byte_count * np.log(2)))


def loss_by_position(losses: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean loss at each position and its standard error, (L,) each, in nats: what more context is worth.

    The standard error takes the windows as independent; that of overlapping windows or of windows out of one document is too
    small, and the errors of different positions are correlated, as they come from the same windows. Of an infinite loss it is NaN.

    Args:
        losses: (windows, L) nats.

    Raises:
        InputError: fewer than two windows, or losses that are NaN.
    """
    losses = _losses(losses)
    if losses.ndim != 2 or len(losses) < 2:
        raise InputError(f"losses has shape {losses.shape}, expected (windows, L) with two windows or more")
    with np.errstate(invalid="ignore"):
        return losses.mean(0), losses.std(0, ddof=1) / np.sqrt(len(losses))


def _losses(losses: Any) -> np.ndarray:
    losses = np.asarray(losses, dtype=float)
    if not losses.size:
        raise InputError("losses is empty, expected one loss or more")
    if np.isnan(losses).any():
        raise InputError(f"losses has {int(np.isnan(losses).sum())} NaN of {losses.size}, expected numbers")
    return losses
