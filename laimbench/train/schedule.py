"""The learning rate over a run."""

import math


def warmup_cosine(step: int, total_steps: int, warmup_fraction: float, final: float = 0.1) -> float:
    """Return the factor on the peak rate at ``step`` (0-based): linear warm-up, then a cosine down to ``final``.

    Source: Loshchilov & Hutter 2016 (arXiv:1608.03983), without restarts.
    """
    warmup = max(1, round(total_steps * warmup_fraction))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
