"""Probe a trained model: what it memorised of its training windows, and its bias; the parts of a "responsible" document."""

from collections.abc import Callable
from typing import Any

import numpy as np

from laimbench.data.windows import TokenWindows
from laimbench.errors import InputError
from laimbench.responsible.bias import Templates, group_differences
from laimbench.responsible.memorisation import continuation_rates
from laimbench.responsible.model import LanguageModel


def probe_memorisation(
    model: LanguageModel, data: TokenWindows, *, seed: int, steps: int, batch_size: int, windows: int = 256,
    prefix: int = 32, continuation: int = 16,
) -> dict[str, Any]:  # fmt: skip
    """Return {"memorisation": …}: rates on windows that the run was trained on against held-out ones.

    Args:
        model: the trained model.
        data: what it was trained on, with the run's own tokenizer.
        seed, steps, batch_size: of the run; its batches, from evenly spread steps, are the training windows.
        windows: wanted on each side; there may be fewer.
        prefix: tokens given; continuation: tokens that must follow exactly.

    Raises:
        InputError: fewer than one step, batch or window, or windows too short for prefix and continuation.
    """
    if min(steps, batch_size, windows) < 1:
        raise InputError(f"steps {steps}, batch_size {batch_size} and windows {windows}, expected 1 or more of each")
    length = prefix + continuation
    chosen = np.unique(np.linspace(0, steps - 1, -(-windows // batch_size)).astype(int))
    training = [data.train_windows(seed, int(step), batch_size, model.seqlen + 1) for step in chosen]
    rates = continuation_rates(
        model, np.concatenate(training)[:windows, :length], data.validation_windows(windows, model.seqlen + 1)[:, :length],
        prefix=prefix, continuation=continuation,
    )  # fmt: skip
    return {"memorisation": rates.to_dict()}


def probe_bias(model: LanguageModel, encode: Callable[[str], list[int]], templates: Templates) -> dict[str, Any]:
    """Return {"bias": […]}: the differences between any two groups, as ``group_differences``."""
    return {"bias": [difference.to_dict() for difference in group_differences(model, encode, templates)]}
