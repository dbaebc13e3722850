"""Compare kernels and whole training steps, all sides interleaved in one run.

Timing needs no compiled kernels; ``bench`` loads them on first use.
"""

from typing import Any

from laimbench.bench.timing import Comparison, compare, interleave

__all__ = ["Comparison", "bench", "compare", "interleave"]


def __getattr__(name: str) -> Any:
    if name == "bench":
        from laimbench.bench.run import bench

        return bench
    raise AttributeError(f"module 'laimbench.bench' has no attribute {name!r}")
