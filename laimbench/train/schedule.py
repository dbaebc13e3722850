"""The learning rate over a run: factors on the peak rate by step (0-based), after a linear warm-up."""

import math

FINAL = 0.1  # of the peak, where "cosine" ends
DECAY_SHARE = 0.2  # of a run, the decay of "wsd"


def warmup_cosine(step: int, total_steps: int, warmup_fraction: float) -> float:
    """A cosine down to FINAL. Source: Loshchilov & Hutter 2016 (arXiv:1608.03983), without restarts."""
    warmup = warmup_steps(total_steps, warmup_fraction)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    return FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def warmup_stable_decay(step: int, total_steps: int, warmup_fraction: float) -> float:
    """The peak until the last DECAY_SHARE of the run, then linearly towards zero. Source: Hu et al. 2024 (MiniCPM), section 4;
    the linear decay: Hägele et al. 2024.
    """
    warmup = warmup_steps(total_steps, warmup_fraction)
    if step < warmup:
        return (step + 1) / warmup
    return min(1.0, (total_steps - step) / (total_steps - decay_start(total_steps)))


def decay_start(total_steps: int) -> int:
    """Return the first step that "wsd" does not take at its peak, less one: what runs of any length share up to there is a trunk."""
    return total_steps - max(1, round(DECAY_SHARE * total_steps))


def noam(step: int, total_steps: int, warmup_fraction: float) -> float:
    """The inverse root of the step. Source: Vaswani et al. 2017, equation 3, with the peak as unit."""
    warmup = warmup_steps(total_steps, warmup_fraction)
    return min((step + 1) / warmup, (warmup / (step + 1)) ** 0.5)


def warmup_steps(total_steps: int, warmup_fraction: float) -> int:
    return max(1, round(total_steps * warmup_fraction))


SCHEDULES = {"cosine": warmup_cosine, "wsd": warmup_stable_decay, "noam": noam}
