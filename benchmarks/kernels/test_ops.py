"""laim against stock in one pytest-benchmark session, a group per op, shape and direction: ``pytest benchmarks/kernels``.

``--benchmark-json FILE`` keeps what ``laimbench bench --pytest FILE --store STORE`` takes into a store, for its report.
"""

import pytest
import torch

from laimbench import ops
from laimbench.bench import kernels
from laimbench.bench.limits import peak_gflops
from laimbench.models import stock

CASES = [
    kernels.attention(4, 4, 256, 64),
    kernels.mlp(2048, 128),
    kernels.gated_mlp(2048, 128),
    kernels.layer_norm(4096, 256, residual=True),
    kernels.rms_norm(4096, 256, residual=True),
    kernels.linear_cross_entropy(2048, 128, 1024),
]


@pytest.fixture(scope="session")
def peaks():
    return {dtype: peak_gflops(kind) for dtype, kind in kernels.DTYPES.items()}


@pytest.mark.parametrize("side", ["laim", "torch"])
@pytest.mark.parametrize("direction", kernels.DIRECTIONS)
@pytest.mark.parametrize("dtype", list(kernels.DTYPES))
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op} {case.shape}")
def test_op(benchmark, peaks, case, dtype, direction, side):
    torch.manual_seed(0)
    benchmark.group = f"{case.op} {case.shape} {dtype} {direction}"
    benchmark.extra_info.update(op=case.op, shape=case.shape, dtype=dtype, direction=direction, side=side, gflop=case.work(direction),
                                peak_gflops=peaks[dtype], threads=torch.get_num_threads())  # fmt: skip
    op = getattr(ops if side == "laim" else stock, case.op)
    benchmark(kernels.bound(case, op, case.make(kernels.DTYPES[dtype]), direction))
