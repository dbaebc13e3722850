"""What only the CUDA kernels do, on a GPU or, in the twin build, under the shim (docs/cuda.md); skipped by name in other builds.

The other tests of a twin's ops are those of every build: ``make twin``.
"""

import json
import os
import subprocess
import sys

import pytest
import torch

from laimbench import ops
from laimbench.ops import _checks
from laimbench.ops._extension import BUILD
from tests.ops.cases import Case, measure

DEVICE = "cpu" if BUILD["cuda"] == "twin" else "cuda"
pytestmark = pytest.mark.skipif(
    BUILD["cuda"] != "twin" and not (BUILD["cuda"] and torch.cuda.is_available()),
    reason="neither a twin build nor a CUDA build with a GPU",
)


def made(*shape, dtype=torch.bfloat16):
    return torch.randn(*shape, dtype=dtype, device=DEVICE, requires_grad=True)


def test_its_dtypes_are_named():
    with pytest.raises(TypeError, match=r"x has dtype torch\.float64, expected float32, bfloat16 or float16"):
        ops.linear(made(2, 3, dtype=torch.float64), made(4, 3, dtype=torch.float64))


def test_a_target_out_of_range_makes_the_loss_nan_and_reads_nothing_outside():
    x, w = made(3, 8), made(5, 8)
    for wrong in (5, -1, 2**40):
        losses = ops.linear_cross_entropy(x, w, torch.tensor([0, wrong, 4], device=DEVICE), reduction="none")
        assert losses.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("channels", [32, 64])  # 64: with LAIMBENCH_TWIN_SM90=1 the sm_90a kernels
def test_gradients_are_the_same_bits_again(channels):
    torch.manual_seed(0)
    q, k, v = made(1, 4, 70, channels), made(1, 2, 70, channels), made(1, 2, 70, channels)
    first = torch.autograd.grad(ops.attention(q, k, v, causal=True).square().sum(), (q, k, v))
    second = torch.autograd.grad(ops.attention(q, k, v, causal=True).square().sum(), (q, k, v))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_channels_that_are_not_neighbours_are_copied():
    q, k, v = (made(1, 2, 16, 9).transpose(2, 3) for _ in range(3))
    assert q.stride(-1) != 1
    assert torch.equal(ops.attention(q, k, v), ops.attention(*(t.contiguous() for t in (q, k, v))))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("op", "shapes", "options"),
    [
        ("mlp", ((150, 64), (264, 64), (264,), (72, 264), (72,)), {}),
        ("attention", ((1, 4, 150, 64), (1, 2, 200, 64), (1, 2, 200, 64)), {"causal": True}),
    ],
)
def test_aligned_operands(op, shapes, options, dtype):
    """What TMA takes, which of random shapes few are: with LAIMBENCH_TWIN_SM90=1 these are for the sm_90a kernels."""
    torch.manual_seed(0)
    inputs = [(torch.randn(shape) * 0.2).to(dtype).to(DEVICE) for shape in shapes]
    case = Case(op, inputs, options)
    assert [error for error in measure(case) if not error.within()] == []


@pytest.mark.parametrize("channels", [64, 128])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_aligned_heads(dtype, channels):
    """Of attention, as above: views of one tensor (batch, rows, heads, channels), several blocks and tiles, padding that is NaN."""
    torch.manual_seed(0)
    heads = torch.randn(2, 280, 4, channels).to(dtype).to(DEVICE).transpose(1, 2)
    for options in ({"causal": True}, {"window": 90}, {"key_lengths": torch.tensor([280, 150], device=DEVICE)}):
        case = Case("attention", [heads[:, :2], heads[:, 2:3], heads[:, 3:]], options)
        assert [error for error in measure(case) if not error.within()] == []
    q, k, v = heads[:, :2], heads[:, 2:3].clone(), heads[:, 3:].clone()
    expected = ops.attention(q, k, v, **options)
    k[1, :, 150:], v[1, :, 150:] = torch.nan, torch.nan
    assert torch.equal(ops.attention(q, k, v, **options), expected)


def test_stocks_products_do_as_well():
    """LAIMBENCH_CUDA_PRODUCTS is read once, so in a process of its own."""
    code = (
        "import torch; from laimbench import ops; torch.manual_seed(0);"
        f"x, w1, w2 = (torch.randn(*s, dtype=torch.bfloat16, device={DEVICE!r}) for s in ((70, 24), (40, 24), (24, 40)));"
        "print(ops.mlp(x, w1, None, w2, None).float().cpu().tolist())"
    )
    outs = []
    for products in ("own", "stock"):
        environment = {**os.environ, "LAIMBENCH_CUDA_PRODUCTS": products}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        outs.append(torch.tensor(json.loads(done.stdout)))
    assert torch.allclose(*outs, rtol=0.05, atol=0.05)


def test_every_dtype_of_the_device_is_taken():
    for dtype in _checks.DTYPES[DEVICE]:
        assert ops.linear(made(2, 3, dtype=dtype), made(4, 3, dtype=dtype)).dtype == dtype
