"""What is believed of a law before the first run: a handful of laws that are all plausible, and the noise around them.

Only a law's shape matters to a design, not its scale, for noise is in log loss. A shape is two exponents and the shares of the loss, at the
middle of the runs that may be chosen, that are irreducible, from the size and from the tokens. Published constants cannot be used as they
stand: those of Hoffmann et al. give 20 nats and more to models as small as a laptop trains.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from laimbench.design.optimal import Noise

NOISE = Noise(within=0.005, between=0.005)  # of the final loss of small GPTs, each about 0.5 %


@dataclass(frozen=True)
class Belief:
    """alpha, beta, and the shares of E, of the size's term and of the tokens' term."""

    alpha: float
    beta: float
    shares: tuple[float, float, float]
    why: str


PLAUSIBLE = (
    Belief(0.35, 0.37, (0.5, 0.25, 0.25), "Besiroglu et al. 2024, from the runs of Hoffmann et al. 2022"),
    Belief(0.34, 0.28, (0.5, 0.25, 0.25), "Hoffmann et al. 2022, approach 3"),
    Belief(0.25, 0.25, (0.35, 0.30, 0.35), "slow, far from its floor"),
    Belief(0.50, 0.50, (0.65, 0.15, 0.20), "fast, near its floor"),
    Belief(0.20, 0.40, (0.5, 0.25, 0.25), "limited by size"),
    Belief(0.45, 0.20, (0.5, 0.25, 0.25), "limited by tokens"),
)


def plausible_laws(log_params: np.ndarray, log_tokens: np.ndarray, beliefs: Sequence[Belief] = PLAUSIBLE) -> np.ndarray:
    """Return theta (K, 5), as ``quantities`` has it, of the laws believed in for candidates (R,), with a loss of 1 at their middle."""
    middle_n, middle_d = np.mean(log_params), np.mean(log_tokens)
    return np.array([
        [share_e, np.log(share_n) + b.alpha * middle_n, b.alpha, np.log(share_d) + b.beta * middle_d, b.beta]
        for b in beliefs for share_e, share_n, share_d in [b.shares]
    ])  # fmt: skip
