"""Does it still learn, and how fast? A fixed tiny ladder of GPTs, laim and stock trained in turns with the same seed and data."""

import numpy as np
import torch

from laimbench.train import RunConfig, Trainer

BACKENDS = ["laim", "torch"]
TOKENS = {"d2-w32": 65_536, "d2-w64": 131_072, "d3-w96": 262_144}
SIZES = {"d2-w32": {"width": 32, "depth": 2}, "d2-w64": {"width": 64, "depth": 2}, "d3-w96": {"width": 96, "depth": 3}}


def _train(size):
    """Train both backends segment by segment in turns, so that a noisy machine hits both; return what they reached."""
    trainers = {
        backend: Trainer(RunConfig(backend=backend, tokens=TOKENS[size], **SIZES[size])) for backend in BACKENDS
    }
    last = {}
    order = list(BACKENDS)
    while not all(trainer.finished for trainer in trainers.values()):
        for backend in order:
            last[backend] = trainers[backend].advance()
        order.reverse()
    return {backend: (end.flops, end.val_loss, end.tokens / end.train_s) for backend, end in last.items()}


def setup_cache():
    """Train the ladder once for all benchmarks of this file."""
    torch.set_num_threads(1)
    return {size: _train(size) for size in SIZES}


setup_cache.timeout = 600


class Runs:
    """The last evaluation of each run; losses in nats per token."""

    params = (BACKENDS, list(SIZES))
    param_names = ("backend", "size")

    def track_final_loss(self, runs, backend, size):
        return runs[size][backend][1]

    track_final_loss.unit = "nats"

    def track_tokens_per_s(self, runs, backend, size):
        return runs[size][backend][2]

    track_tokens_per_s.unit = "tokens/s"


class Exponent:
    """b of L = a C^-b through the last evaluations of the ladder's sizes, by least squares of logarithms.

    Without an irreducible loss: three points of tiny models cannot tell it, and history needs a figure that is stable.
    """

    params = BACKENDS
    param_names = ("backend",)

    def track_loss_compute_exponent(self, runs, backend):
        flops, loss = np.array([runs[size][backend][:2] for size in SIZES]).T
        return -float(np.polyfit(np.log(flops), np.log(loss), 1)[0])

    track_loss_compute_exponent.unit = "1"
