"""Every op against stock, both in turns within one process: what is left of a noisy machine is the same for both sides."""

CASES = {
    "attention B4 H4 S256 D64": ("attention", 4, 4, 256, 64),
    "attention B1 H4 S1024 D64": ("attention", 1, 4, 1024, 64),
    "mlp T1024 C256": ("mlp", 1024, 256),
    "gated_mlp T1024 C256": ("gated_mlp", 1024, 256),
    "layer_norm T4096 C256": ("layer_norm", 4096, 256, True),
    "rms_norm T4096 C256": ("rms_norm", 4096, 256, True),
    "linear_cross_entropy T2048 C128 V1024": ("linear_cross_entropy", 2048, 128, 1024),
}
# As small as an op can be: what is timed is the way to it and back.
TINY = {
    "attention": ("attention", 1, 1, 8, 8),
    "mlp": ("mlp", 8, 8),
    "gated_mlp": ("gated_mlp", 8, 8),
    "layer_norm": ("layer_norm", 8, 8, False),
    "rms_norm": ("rms_norm", 8, 8, False),
    "linear_cross_entropy": ("linear_cross_entropy", 8, 8, 8),
}
DTYPES = ["fp32", "bf16"]
DIRECTIONS = ["forward", "forward+backward"]
SIDES = ["laim", "torch"]


def _seconds(made, dtype, direction):
    """Return the median seconds of a call of both sides, on one thread, and the median of stock's over laim's of each repetition."""
    import numpy as np
    import torch

    from laimbench import ops
    from laimbench.bench import kernels
    from laimbench.bench.timing import interleave
    from laimbench.models import stock

    maker, *shape = made
    if not hasattr(kernels, maker):  # a commit from before this op: the other ops have figures
        return None
    torch.set_num_threads(1)
    torch.manual_seed(0)
    case = getattr(kernels, maker)(*shape)
    inputs = case.make(kernels.DTYPES[dtype])
    calls = {
        side: kernels.bound(case, getattr(where, case.op), inputs, direction)
        for side, where in zip(SIDES, (ops, stock), strict=True)
    }
    seconds = interleave(calls, budget_s=0.6)
    found = {side: float(np.median(seconds[side])) for side in SIDES}
    return found | {"ratio": float(np.median(np.array(seconds["torch"]) / np.array(seconds["laim"])))}


class AgainstStock:
    """Time of stock over time of laim."""

    params = (list(CASES), DTYPES, DIRECTIONS)
    param_names = ("op", "dtype", "direction")

    def setup_cache(self):
        return {
            (name, dtype, direction): _seconds(made, dtype, direction)
            for name, made in CASES.items()
            for dtype in DTYPES
            for direction in DIRECTIONS
        }

    setup_cache.timeout = 600

    def track_speedup(self, found, *key):
        return found[key]["ratio"]

    track_speedup.unit = "stock / laim"


class CallOverhead:
    """Seconds of a call on tensors of a few elements."""

    params = (SIDES, list(TINY), DIRECTIONS)
    param_names = ("side", "op", "direction")

    def setup_cache(self):
        return {
            (name, direction): _seconds(made, "fp32", direction)
            for name, made in TINY.items()
            for direction in DIRECTIONS
        }

    setup_cache.timeout = 300

    def track_overhead(self, found, side, op, direction):
        return 1e6 * found[op, direction][side]

    track_overhead.unit = "µs"
