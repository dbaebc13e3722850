"""Compare kernels and whole training steps, all sides interleaved in one run."""

from laimbench.bench.run import bench
from laimbench.bench.timing import Comparison, compare, interleave

__all__ = ["Comparison", "bench", "compare", "interleave"]
