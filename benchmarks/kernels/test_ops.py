"""laim against stock in one pytest-benchmark session, a group per op, shape and direction: ``pytest benchmarks/kernels``."""

import pytest
import torch

from laimbench import ops
from laimbench.bench import kernels
from laimbench.models import stock

CASES = [
    kernels.attention(4, 4, 256, 64),
    kernels.mlp(2048, 128),
    kernels.gated_mlp(2048, 128),
    kernels.layer_norm(4096, 256, residual=True),
    kernels.rms_norm(4096, 256, residual=True),
    kernels.linear_cross_entropy(2048, 128, 1024),
]


@pytest.mark.parametrize("side", ["laim", "torch"])
@pytest.mark.parametrize("direction", kernels.DIRECTIONS)
@pytest.mark.parametrize("dtype", list(kernels.DTYPES))
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op} {case.shape}")
def test_op(benchmark, case, dtype, direction, side):
    torch.manual_seed(0)
    benchmark.group = f"{case.op} {case.shape} {dtype} {direction}"
    benchmark.extra_info["gflop"] = case.work(direction)
    benchmark.extra_info["threads"] = torch.get_num_threads()
    op = getattr(ops if side == "laim" else stock, case.op)
    benchmark(kernels.bound(case, op, case.make(kernels.DTYPES[dtype]), direction))
