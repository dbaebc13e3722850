"""Hashes of many stretches of one array at once: what near-duplicates and the tokenizer's cache are built on.

A stretch x_s..x_e-1 has the polynomial hash sum_i x_s+i m^i modulo 2^64, m odd; m has an inverse there, so that one pass
of products and sums serves all stretches, wherever they begin (Karp & Rabin 1987).
"""

import threading

import numpy as np

MULTIPLIER = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(MULTIPLIER, -1, 1 << 64)
_lock = threading.Lock()
_powers = {m: np.ones(1, dtype=np.uint64) for m in (MULTIPLIER, _INVERSE)}


def powers(base: int, count: int) -> np.ndarray:
    """Return base^0..base^(count-1) modulo 2^64; kept between calls."""
    with _lock:
        if len(_powers[base]) < count:
            steps = np.full(max(count, 1 << 16), base, dtype=np.uint64)
            steps[0] = 1
            _powers[base] = np.multiply.accumulate(steps)
        return _powers[base][:count]


def stretch_hashes(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the mixed hash (n,) of values[starts[i] : starts[i + 1]], the last one up to the end.

    ``values`` are unsigned integers; zeros at the end of a stretch do not count.
    """
    sums = values * powers(MULTIPLIER, len(values))
    np.cumsum(sums, out=sums)
    up_to = sums[starts[1:] - 1]  # sums of all before each stretch but the first
    total = np.append(up_to, sums[-1:])
    total[1:] -= up_to
    if starts[0]:
        total[0] -= sums[starts[0] - 1]
    return mix(total * powers(_INVERSE, len(values))[starts])


def mix(x: np.ndarray) -> np.ndarray:
    """Spread 64 bits over all 64: the finaliser of splitmix64 (Steele, Lea & Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
