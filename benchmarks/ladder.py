"""Does it still learn, how fast, and what is that worth? A fixed tiny ladder of GPTs, laim and stock trained in turns with the same seeds.

Everything here comes from the runs of one ``setup_cache``; history pairs the seeds of two commits by its single losses.
"""

from itertools import product

BACKENDS = ["laim", "torch"]
SIZES = {"d1-w32": {"width": 32, "depth": 1}, "d2-w48": {"width": 48, "depth": 2}, "d2-w64": {"width": 64, "depth": 2}}
# Whatever the defaults of a commit are: history compares losses of the same task.
PINNED = {
    "family": "gpt",
    "data": "builtin:python",
    "vocab_size": 512,
    "seqlen": 128,
    "batch_size": 8,
    "lr": 2e-3,
    "evals": 4,
}
TOKENS = [32_768, 65_536, 131_072]
SEEDS = [0, 1, 2]


def _train(size, tokens, seed):
    """Train both backends segment by segment in turns, so that a noisy machine hits both; return what they reached."""
    from laimbench.train import RunConfig, Trainer

    trainers = {
        backend: Trainer(RunConfig(backend=backend, tokens=tokens, seed=seed, **PINNED, **SIZES[size]))
        for backend in BACKENDS
    }
    last = {}
    order = list(BACKENDS)
    while not all(trainer.finished for trainer in trainers.values()):
        for backend in order:
            last[backend] = trainers[backend].advance()
        order.reverse()
    params = sum(p.numel() for p in trainers["laim"].model.parameters())
    return {
        (backend, size, tokens, seed): {"params": params, "tokens": end.tokens, "flops": end.flops, "seconds": end.train_s,
                                        "loss": end.val_loss}
        for backend, end in last.items()
    }  # fmt: skip


def setup_cache():
    """Train the ladder once for all benchmarks of this file: a dict from (backend, size, tokens, seed) to the run's end."""
    import torch

    torch.set_num_threads(1)
    runs = {}
    for size, tokens, seed in product(SIZES, TOKENS, SEEDS):
        runs |= _train(size, tokens, seed)
    return runs


setup_cache.timeout = 1200


def _columns(runs, *names):
    import numpy as np

    return [np.array([run[name] for run in runs.values()], float) for name in names]


def _standard_error(statistic, runs):
    """Return the jackknife's standard error of a statistic of the runs: each seed left out in turn."""
    import numpy as np

    without = [statistic({key: run for key, run in runs.items() if key[-1] != seed}) for seed in SEEDS]
    return float(np.sqrt((len(SEEDS) - 1) * np.var(without)))


class Runs:
    """The last evaluation of each run; losses in nats per token."""

    params = (BACKENDS, list(SIZES), TOKENS, SEEDS)
    param_names = ("backend", "size", "tokens", "seed")

    def track_final_loss(self, runs, *key):
        return runs[key]["loss"]

    track_final_loss.unit = "nats"

    def track_flops(self, runs, *key):
        return runs[key]["flops"]

    track_flops.unit = "FLOPs"


class Speed:
    """Of all runs of a size: both backends' steps were taken in turns."""

    params = (list(SIZES),)
    param_names = ("size",)

    def setup(self, runs, size):
        total = lambda backend, what: sum(run[what] for key, run in runs.items() if key[:2] == (backend, size))  # noqa: E731
        self.seconds = {backend: total(backend, "seconds") for backend in BACKENDS}
        self.tokens = total("laim", "tokens")

    def track_training_speedup(self, runs, size):
        return self.seconds["torch"] / self.seconds["laim"]

    track_training_speedup.unit = "stock / laim"

    def track_tokens_per_s(self, runs, size):
        return self.tokens / self.seconds["laim"]

    track_tokens_per_s.unit = "tokens/s"


def _exponent(runs):
    """b of L = a C^-b, by least squares of logarithms: without an irreducible loss a figure that is stable."""
    import numpy as np

    flops, loss = _columns(runs, "flops", "loss")
    return -float(np.polyfit(np.log(flops), np.log(loss), 1)[0])


def _split(runs):
    """L = E + A / N^alpha + B / D^beta of all runs."""
    from laimbench import laws

    return laws.fit_chinchilla(*_columns(runs, "params", "tokens", "loss"), bootstrap=0)


def _irreducible_loss(runs):
    return _split(runs).params["E"]


def _tokens_per_parameter(runs):
    """Of the compute-optimal split of the ladder's largest budget."""
    from laimbench import laws

    best = laws.allocate(_split(runs), max(run["flops"] for run in runs.values()))
    return best.tokens.value / best.params.value


class Law:
    """What the ladder's laws say, and the standard errors over seeds."""

    params = BACKENDS
    param_names = ("backend",)

    def setup(self, runs, backend):
        self.runs = {key: run for key, run in runs.items() if key[0] == backend}

    def track_exponent(self, runs, backend):
        return _exponent(self.runs)

    def track_exponent_standard_error(self, runs, backend):
        return _standard_error(_exponent, self.runs)

    def track_irreducible_loss(self, runs, backend):
        return _irreducible_loss(self.runs)

    track_irreducible_loss.unit = "nats"

    def track_irreducible_loss_standard_error(self, runs, backend):
        return _standard_error(_irreducible_loss, self.runs)

    track_irreducible_loss_standard_error.unit = "nats"

    def track_tokens_per_parameter(self, runs, backend):
        return _tokens_per_parameter(self.runs)

    def track_tokens_per_parameter_standard_error(self, runs, backend):
        return _standard_error(_tokens_per_parameter, self.runs)


class Multiplier:
    """What laim is worth against stock in the same process: the effective multiplier at equal FLOPs and at equal seconds."""

    params = ("flops", "seconds")
    param_names = ("of",)

    def _log_multiplier(self, runs, of):
        import math

        import numpy as np

        from laimbench.track.multiplier import effective_multiplier

        compute, loss = _columns(runs, of, "loss")
        side, seed = (np.array([value(key) for key in runs]) for value in (lambda k: k[0] == "laim", lambda k: k[-1]))
        return math.log(effective_multiplier(compute, loss, side.astype(int), seed).value)

    def track_effective_multiplier(self, runs, of):
        import math

        return math.exp(self._log_multiplier(runs, of))

    def track_log_multiplier_standard_error(self, runs, of):
        return _standard_error(lambda some: self._log_multiplier(some, of), runs)
