"""Gradients against finite differences, opcheck, torch.compile and autocast."""

import pytest
import torch

from laimbench import ops
from laimbench.ops import reference
from tests.ops.cases import DEVICE, DTYPES

F64 = torch.float64


def leaf(*shape, dtype=F64):
    return torch.randn(*shape, dtype=dtype, device=DEVICE).requires_grad_()


def calls(dtype=F64):
    """Return one small call per op and variant: (name, function of the tensors, tensors)."""
    torch.manual_seed(0)
    q, k, v = (leaf(2, h, s, 5, dtype=dtype) for h, s in ((4, 7), (2, 9), (2, 9)))
    lengths = torch.tensor([3, 9], device=DEVICE)
    target = torch.tensor([[0, 3, -100], [6, 1, 2]], device=DEVICE)
    x, w1, b1, w2, b2 = (leaf(*s, dtype=dtype) for s in ((2, 3, 4), (6, 4), (6,), (5, 6), (5,)))
    w_up = leaf(6, 4, dtype=dtype)
    head, head_bias = leaf(7, 4, dtype=dtype), leaf(7, dtype=dtype)
    weight, bias, residual = leaf(4, dtype=dtype), leaf(4, dtype=dtype), leaf(2, 3, 4, dtype=dtype)
    yield "attention", lambda q, k, v: ops.attention(q, k, v, causal=True), (q, k, v)
    yield "attention masks", lambda q, k, v: ops.attention(q, k, v, key_lengths=lengths, window=3, scale=0.7), (q, k, v)
    for activation in ("relu", "gelu", "gelu_tanh", "silu"):
        yield (
            f"mlp {activation}",
            lambda x, w1, b1, w2, b2, a=activation: ops.mlp(x, w1, b1, w2, b2, activation=a),
            (x, w1, b1, w2, b2),
        )
        yield (
            f"gated_mlp {activation}",
            lambda x, w_gate, w_up, w_down, a=activation: ops.gated_mlp(x, w_gate, w_up, w_down, activation=a),
            (x, w1, w_up, w2),
        )
    yield "linear", ops.linear, (x, w1, b1)
    yield "linear without bias", ops.linear, (x, w1)
    yield "layer_norm", ops.layer_norm, (x, weight, bias)
    yield "layer_norm residual", lambda x, w, b, r: ops.layer_norm(x, w, b, residual=r), (x, weight, bias, residual)
    yield "rms_norm", ops.rms_norm, (x, weight)
    yield "rms_norm residual", lambda x, w, r: ops.rms_norm(x, w, residual=r), (x, weight, residual)
    for reduction in ("mean", "sum", "none"):
        yield (
            f"linear_cross_entropy {reduction}",
            lambda x, w, b, r=reduction: ops.linear_cross_entropy(x, w, target, bias=b, reduction=r),
            (x, head, head_bias),
        )


ALL = list(calls())
NAMES = [name for name, _, _ in ALL]


@pytest.mark.skipif(F64 not in DTYPES, reason="finite differences need float64, which CUDA's kernels do not have")
@pytest.mark.parametrize(("_name", "function", "inputs"), ALL, ids=NAMES)
def test_gradcheck(_name, function, inputs):
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize(("_name", "function", "inputs"), list(calls(torch.float32)), ids=NAMES)
def test_compiled_whole_and_equal(_name, function, inputs):
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    results = []
    for call in (function, compiled):
        for tensor in inputs:
            tensor.grad = None
        out = call(*inputs)
        outs = out if isinstance(out, tuple) else (out,)
        sum((o * torch.arange(o.numel(), device=DEVICE).view(o.shape)).sum() for o in outs).backward()
        results.append([*(o.detach() for o in outs), *(t.grad for t in inputs)])
    for eager, fused in zip(*results, strict=True):
        assert torch.equal(eager, fused)


def test_compiled_by_inductor():
    x, w1, b1, w2, b2 = (leaf(*s, dtype=torch.float32) for s in ((8, 4), (6, 4), (6,), (4, 6), (4,)))

    def block(x):
        return ops.layer_norm(x + ops.mlp(x, w1, b1, w2, b2), None).sum()

    assert torch.allclose(torch.compile(block, fullgraph=True)(x), block(x), atol=1e-5)


def op_samples():
    torch.manual_seed(1)
    f = torch.float32
    q, k, v = (leaf(1, 2, 5, 4, dtype=f) for _ in range(3))
    x, w1, b1, w2, b2 = (leaf(*s, dtype=f) for s in ((3, 4), (6, 4), (6,), (4, 6), (4,)))
    w_up = leaf(6, 4, dtype=f)
    op = torch.ops.laimbench
    out, lse = (t.detach() for t in op.attention(q, k, v, True, 0.5, None, -1))
    plain = [t.detach() for t in (q, k, v, x, w1, b1, w2)]
    target = torch.tensor([0, 5, -100])
    scale = torch.tensor([0.5, 0.5, 0.0])
    yield op.attention, (q, k, v, True, 0.5, torch.tensor([4]), 2)
    yield op.attention_backward, (torch.randn_like(out), *plain[:3], out, lse, True, 0.5, None, -1)
    yield op.linear, (x, w1, b1)
    yield op.linear_backward, (torch.randn(3, 6), plain[3], plain[4], True, True)
    yield op.mlp, (x, w1, b1, w2, b2, 1, True)
    yield op.mlp_backward, (torch.randn(3, 4), plain[3], plain[4], plain[6], torch.randn(3, 6), 1, True, True, False)
    yield op.layer_norm, (x, w1[0].detach().requires_grad_(), None, 1e-5, x.detach())
    yield op.layer_norm_backward, (torch.randn(3, 4), None, plain[3], plain[4][0], torch.zeros(3), torch.ones(3), True)
    yield op.gated_mlp, (x, w1, w_up, w2, 3, True)
    yield op.gated_mlp, (x.detach(), *(w.detach() for w in (w1, w_up, w2)), 3, False)
    hidden = torch.randn(3, 6), torch.randn(3, 6)
    yield op.gated_mlp_backward, (torch.randn(3, 4), plain[3], plain[4], w_up.detach(), plain[6], *hidden, 3, True)
    yield op.rms_norm, (x, w1[0].detach().requires_grad_(), 1e-6, x.detach())
    yield op.rms_norm_backward, (torch.randn(3, 4), torch.randn(3, 4), plain[3], plain[4][0], torch.ones(3))
    yield op.linear_cross_entropy, (x, w1, b1, target, -100, scale, True)
    yield op.linear_cross_entropy, (x, w1, None, target, -100, None, False)


with torch.device(DEVICE):
    SAMPLES = list(op_samples())


@pytest.mark.parametrize(("op", "arguments"), SAMPLES, ids=lambda value: getattr(value, "__name__", ""))
def test_opcheck(op, arguments):
    torch.library.opcheck(op.default, arguments)


@pytest.mark.parametrize(("_name", "function", "inputs"), list(calls(torch.float32)), ids=NAMES)
def test_autocast_runs_in_bf16_and_returns_float_gradients(_name, function, inputs):
    for tensor in inputs:
        tensor.grad = None
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        out = function(*inputs)
    first = out[0] if isinstance(out, tuple) else out
    first.float().sum().backward()
    keeps_float = _name.startswith(("layer_norm", "rms_norm", "linear_cross_entropy"))
    assert first.dtype == (torch.float32 if keeps_float else torch.bfloat16)
    assert all(t.grad is None or t.grad.dtype == torch.float32 for t in inputs)


@pytest.mark.parametrize(("_name", "function", "inputs"), list(calls(torch.float32)), ids=NAMES)
def test_a_second_derivative_is_refused_and_not_zero(_name, function, inputs):
    out = function(*inputs)
    total = sum((o**2).sum() for o in (out if isinstance(out, tuple) else (out,)))
    with pytest.raises(RuntimeError, match="has no second derivative"):
        torch.autograd.grad(total, inputs, create_graph=True)


def test_reference_twins_match_the_surface():
    for name in set(ops.__all__) - {"reference"}:
        ours, twin = getattr(ops, name), getattr(reference, name)
        assert ours.__kwdefaults__ == twin.__kwdefaults__
        assert (
            ours.__code__.co_varnames[: ours.__code__.co_argcount]
            == twin.__code__.co_varnames[: twin.__code__.co_argcount]
        )
