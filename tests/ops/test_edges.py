"""Values at the edge, threads, instruction sets, and wrong input."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import laimbench
from laimbench import ops
from laimbench.models import stock
from laimbench.ops import reference
from tests.ops.cases import make

OPS = ("attention", "mlp", "gated_mlp", "linear", "layer_norm", "rms_norm", "linear_cross_entropy")


def outputs_and_gradients(op, seed):
    from tests.ops.cases import evaluate

    outs, gradients = evaluate(getattr(ops, op), make(op, seed))
    return [*outs, *gradients]


@pytest.mark.parametrize("op", OPS)
def test_same_bits_with_one_and_two_threads_and_again(op):
    for seed in range(6, 18):
        results = []
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(outputs_and_gradients(op, seed))
        for other in results[1:]:
            for first, second in zip(results[0], other, strict=True):
                assert torch.equal(first.nan_to_num(7.0), second.nan_to_num(7.0)), make(op, seed).description


def test_large_products_have_the_same_bits_with_one_and_two_threads():
    torch.manual_seed(0)
    x, w = torch.randn(500, 700), torch.randn(900, 700)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(ops.linear(x, w))
    assert torch.equal(*results)


ROOT = str(Path(__file__).resolve().parents[2])
CHILD = """
import json, sys, torch
sys.path.append({root!r})  # for `tests`; last, so that the installed laimbench is the one tested
torch.set_num_threads(2)
import laimbench
from tests.ops.cases import violations
found = [v for op in {ops} for seed in range(15) for v in violations(op, seed)]
print(json.dumps([laimbench.build_info()["isa"], found]))
"""


@pytest.mark.parametrize("isa", laimbench.build_info()["isas_supported"])
def test_every_instruction_set_is_right(isa):
    code, environment = CHILD.format(ops=OPS, root=ROOT), {**os.environ, "LAIMBENCH_ISA": isa}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    chosen, found = json.loads(answer.stdout)
    assert chosen == isa
    assert found == []


@pytest.mark.parametrize(("isa", "word"), [("sse9", "unknown"), ("", None)])
def test_unknown_instruction_set_is_named(isa, word):
    code = "import laimbench; laimbench.build_info()"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LAIMBENCH_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode != 0) == (word is not None)
    if word:
        assert word in answer.stderr and isa in answer.stderr


def test_queries_that_see_nothing_get_zeros_and_zero_gradients():
    q, k, v = (torch.randn(2, 1, 5, 8, requires_grad=True) for _ in range(3))
    out = ops.attention(q, k, v, key_lengths=torch.tensor([0, 3]))
    out.backward(torch.ones_like(out))
    assert (out[0] == 0).all() and (out[1] != 0).any()
    for tensor in (q, k, v):
        assert (tensor.grad[0] == 0).all() and tensor.grad.isfinite().all()


def test_large_scores_do_not_overflow():
    q = torch.full((1, 1, 3, 4), 100.0)
    k = torch.randn(1, 1, 200, 4) * 100
    v = torch.randn(1, 1, 200, 4)
    ours, truth = ops.attention(q, k, v), reference.attention(q.double(), k.double(), v.double())
    assert (ours.double() - truth).abs().max() < 2e-2 and ours.isfinite().all()


def test_nan_in_one_query_stays_in_that_query():
    q, k, v = torch.randn(1, 1, 40, 16), torch.randn(1, 1, 40, 16), torch.randn(1, 1, 40, 16)
    q[0, 0, 7, 3] = float("nan")
    broken = ops.attention(q, k, v).isnan().any(-1)[0, 0]
    assert broken[7] and broken.sum() == 1


ODD_ATTENTION = {  # what q, k and v are multiplied by, added to
    "large scores": (100.0, 100.0, 1.0, 0.0),
    "large values": (1.0, 1.0, 1e30, 0.0),
    "denormal values": (1.0, 1.0, 1e-39, 0.0),
    "denormal queries": (1e-39, 1.0, 1.0, 0.0),
    "constant": (0.0, 0.0, 0.0, 1.5),
}


@pytest.mark.parametrize("kind", ODD_ATTENTION)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_of_odd_values(kind, dtype):
    torch.manual_seed(0)
    *factors, offset = ODD_ATTENTION[kind]
    inputs = [(torch.randn(1, 2, 131, 24) * factor + offset).to(dtype) for factor in factors]
    gradient = torch.randn(1, 2, 131, 24).to(dtype)
    found = {}
    for side, module, kind_of in (("laim", ops, dtype), ("stock", stock, dtype), ("truth", reference, torch.float64)):
        leaves = [t.to(kind_of).detach().requires_grad_() for t in inputs]
        out = module.attention(*leaves, causal=True)
        out.backward(gradient.to(kind_of))
        found[side] = [out.detach().double(), *(t.grad.double() for t in leaves)]
    for i, (ours, theirs, truth) in enumerate(zip(found["laim"], found["stock"], found["truth"], strict=True)):
        off, allowed = ((side - truth).abs().max() for side in (ours, theirs))
        # Dot products of bf16 pairs know no denormal numbers: each counts as zero, which is off by less than `tiny`.
        bound = (
            (2 if i == 0 else 3) * allowed + torch.finfo(dtype).eps / 2 * truth.abs().max() + torch.finfo(dtype).tiny
        )
        assert off <= bound, (kind, i, off, bound)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_inf_stay_in_their_query_in_bf16(bad):
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 1, 101, 17).bfloat16() for _ in range(3))
    clean = ops.attention(q, k, v)
    q[0, 0, 100, 16] = bad  # the odd last channel of the last query: half a pair
    broken = ops.attention(q, k, v)
    assert broken[0, 0, 100].isnan().all() and torch.equal(broken[0, 0, :100], clean[0, 0, :100])


@pytest.mark.parametrize("shape", [(2, 3, 230, 40), (1, 1, 1600, 16)])  # of the second the backward cuts the keys
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_has_the_same_bits_with_one_two_and_four_threads(dtype, shape):
    torch.manual_seed(0)
    inputs = [torch.randn(shape).to(dtype) for _ in range(3)]
    results = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        leaves = [t.clone().requires_grad_() for t in inputs]
        out = ops.attention(*leaves, causal=True)
        out.backward(torch.ones_like(out))
        results.append([out.detach(), *(t.grad for t in leaves)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_attention_needs_memory_linear_in_the_sequence():
    script = """
import resource, torch
from laimbench import ops
q, k, v = (torch.randn(1, 1, 16384, 16) for _ in range(3))
ops.attention(q[:, :, :64], k[:, :, :64], v[:, :, :64])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ops.attention(q, k, v, causal=True)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(answer.stdout) < 100  # MiB; the scores alone would be 1,024


def test_activations_at_the_edges():
    x = torch.tensor([[-1e30, -100.0, -5.5, -1e-30, 0.0, 1e-40, 3.0, 100.0, 1e30]]).T.contiguous()
    one = torch.ones(1, 1)
    for activation in ("relu", "gelu", "gelu_tanh", "silu"):
        ours = ops.mlp(x, one, None, one, None, activation=activation)
        truth = reference.mlp(x.double(), one.double(), None, one.double(), None, activation=activation)
        assert torch.allclose(ours.double().nan_to_num(), truth.nan_to_num(), rtol=1e-6, atol=1e-7), activation


def test_gated_activations_at_the_edges():
    x = torch.tensor([[-1e10, -100.0, -5.5, -1e-30, 0.0, 1e-40, 3.0, 100.0, 1e10]]).T.contiguous()
    gate, up, down = torch.tensor([[1.0]]), torch.tensor([[-2.0]]), torch.tensor([[0.5]])
    for activation in ("relu", "gelu", "gelu_tanh", "silu"):
        results = []
        for function, dtype in ((ops.gated_mlp, torch.float32), (reference.gated_mlp, torch.float64)):
            leaves = [t.to(dtype).detach().requires_grad_() for t in (x, gate, up, down)]
            out = function(*leaves, activation=activation)
            out.sum().backward()
            results.append([out.detach(), *(t.grad for t in leaves)])
        for ours, truth in zip(*results, strict=True):
            assert torch.allclose(ours.double(), truth, rtol=1e-6, atol=1e-7), activation


@pytest.mark.parametrize(("op", "kept"), [("mlp", 1), ("gated_mlp", 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mlps_keep_what_their_plan_says(op, kept, dtype):
    x, first, up, second = (torch.randn(s, dtype=dtype).requires_grad_() for s in ((37, 5), (11, 5), (11, 5), (7, 11)))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        ops.mlp(x, first, None, second, None) if op == "mlp" else ops.gated_mlp(x, first, up, second)
    assert sum(t.numel() == 37 * 11 for t in saved) == kept


NORMS = {"layer_norm": ops.layer_norm, "rms_norm": ops.rms_norm}
ODD_ROWS = {  # one row of each kind among ordinary ones
    "constant": torch.full((40,), 3.3),
    "large constant": torch.full((40,), 1e4),
    "zero": torch.zeros(40),
    "denormal": torch.linspace(-1e-39, 1e-39, 40),
    "one-hot": torch.eye(40)[3] * 1e4,
    "large": torch.linspace(-1e4, 1e4, 40),
}


@pytest.mark.parametrize("row", ODD_ROWS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_of_odd_rows(norm, row, dtype):
    torch.manual_seed(0)
    x = torch.randn(9, 40)
    x[5] = ODD_ROWS[row]
    weight, gradient = torch.rand(40).to(dtype) + 0.5, torch.randn(9, 40).to(dtype)
    sides = {"laim": (ops, dtype), "stock": (stock, dtype), "truth": (reference, torch.float64)}
    found = {}
    for side, (module, kind) in sides.items():
        leaves = [t.to(dtype).to(kind).detach().requires_grad_() for t in (x, weight)]
        out = getattr(module, norm)(*leaves)
        out.backward(gradient.to(kind))
        found[side] = [out.detach().double(), *(t.grad.double() for t in leaves)]
    for i, (ours, theirs, truth) in enumerate(zip(found["laim"], found["stock"], found["truth"], strict=True)):
        # The odd row by itself, lest large values hide it or hide behind it; a weight gradient has no rows of its own.
        odd = torch.arange(9) == 5
        for rows in (slice(None),) if truth.dim() == 1 else (odd, ~odd):
            off, allowed = ((side[rows] - truth[rows]).abs().max() for side in (ours, theirs))
            bound = (2 if i == 0 else 3) * allowed + torch.finfo(dtype).eps / 2 * truth[rows].abs().max()
            assert off <= bound, (norm, row, i, off, bound)


def test_a_constant_row_is_normalised_to_zeros():
    for value in (3.3, 1e4, 1e10, -7e-5):
        out = ops.layer_norm(torch.full((2, 1000), value), None)
        assert (out == 0).all(), value


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("column", [0, 44])  # in a full vector; in the ragged end
def test_nan_and_inf_stay_in_their_row(norm, dtype, bad, column):
    torch.manual_seed(0)
    clean = torch.randn(9, 45).to(dtype)
    broken = clean.clone()
    broken[5, column] = bad
    results = []
    for x in (clean, broken):
        leaves = x.clone().requires_grad_(), torch.ones(45, dtype=dtype)
        out = NORMS[norm](*leaves)
        out.backward(torch.ones_like(out))
        results.append((out.detach(), leaves[0].grad))
    others = torch.arange(9) != 5
    for before, after in zip(*results, strict=True):
        assert after[5, column].isnan()
        assert torch.equal(before[others], after[others])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_inf_stay_in_their_token_of_a_gated_mlp(dtype, bad):
    torch.manual_seed(0)
    x, *weights = (torch.randn(s).to(dtype) for s in ((9, 5), (21, 5), (21, 5), (7, 21)))
    for activation in ("relu", "gelu", "gelu_tanh", "silu"):
        clean = ops.gated_mlp(x, *weights, activation=activation)
        broken = x.clone()
        broken[4, 2] = bad
        leaf = broken.requires_grad_()
        out = ops.gated_mlp(leaf, *weights, activation=activation)
        out.backward(torch.ones_like(out))
        others = torch.arange(9) != 4
        assert torch.equal(out[others], clean[others]) and not out[4].isfinite().any()
        assert leaf.grad[others].isfinite().all() and leaf.grad[4].isnan().all()


@pytest.mark.parametrize("norm", NORMS)
def test_norm_gradients_have_the_same_bits_with_one_and_two_threads(norm):
    torch.manual_seed(0)
    x, gradient = torch.randn(2, 5001, 70)
    weight = torch.randn(70)
    results = []
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
        out = NORMS[norm](*leaves)
        out.backward(gradient)
        results.append([out.detach(), *(t.grad for t in leaves)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


WRONG = [
    (lambda: ops.attention(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 3)), ValueError, "q"),
    (lambda: ops.attention(*(torch.zeros(1, 2, 3, 4, dtype=torch.int32) for _ in range(3))), TypeError, "q"),
    (lambda: ops.attention(torch.zeros(1, 3, 3, 4), torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4)), ValueError, "heads"),
    (lambda: ops.attention(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 5), torch.zeros(1, 2, 3, 5)), ValueError, "k"),
    (lambda: ops.attention(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 2, 4)), ValueError, "v"),
    (lambda: ops.attention(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4).double(), torch.zeros(1, 2, 3, 4)), TypeError, "k"),
    (lambda: ops.attention(*(torch.zeros(1, 2, 3, 4) for _ in range(3)), window=0), ValueError, "window"),
    (lambda: ops.attention(*(torch.zeros(1, 2, 3, 4) for _ in range(3)), scale=float("nan")), ValueError, "scale"),
    (lambda: ops.attention(*(torch.zeros(1, 2, 3, 4) for _ in range(3)), key_lengths=torch.zeros(2).long()), ValueError, "key_lengths"),
    (lambda: ops.mlp(torch.zeros(2, 3), torch.zeros(4, 2), None, torch.zeros(2, 4), None), ValueError, "w1"),
    (lambda: ops.mlp(torch.zeros(2, 3), torch.zeros(4, 3), None, torch.zeros(2, 4), None, activation="tanh"), ValueError, "activation"),
    (lambda: ops.linear(torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(5)), ValueError, "b"),
    (lambda: ops.linear("x", torch.zeros(4, 3)), TypeError, "x"),
    (lambda: ops.linear(torch.zeros(2, 3).half(), torch.zeros(4, 3).half()), TypeError, "x"),
    (lambda: ops.layer_norm(torch.zeros(2, 3), torch.zeros(4)), ValueError, "weight"),
    (lambda: ops.layer_norm(torch.zeros(2, 3), None, residual=torch.zeros(3, 3)), ValueError, "residual"),
    (lambda: ops.rms_norm(torch.zeros(2, 3), torch.zeros(4)), ValueError, "weight"),
    (lambda: ops.rms_norm(torch.zeros(2, 3), torch.zeros(3).double()), TypeError, "weight"),
    (lambda: ops.rms_norm(torch.zeros(2, 3), None, residual=torch.zeros(3, 3)), ValueError, "residual"),
    (lambda: ops.rms_norm(torch.zeros(2, 3), None, eps=-1.0), ValueError, "eps"),
    (lambda: ops.rms_norm(torch.zeros(2, 3), None, eps=float("nan")), ValueError, "eps"),
    (lambda: ops.rms_norm(torch.tensor(1.0), None), ValueError, "x"),
    (lambda: ops.rms_norm([1.0], None), TypeError, "x"),
    (lambda: ops.gated_mlp(torch.zeros(2, 3), torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(2, 4)), ValueError, "w_gate"),
    (lambda: ops.gated_mlp(torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(5, 3), torch.zeros(2, 4)), ValueError, "w_up"),
    (lambda: ops.gated_mlp(torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(2, 5)), ValueError, "w_down"),
    (lambda: ops.gated_mlp(torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(4, 3).double(), torch.zeros(2, 4)), TypeError, "w_up"),
    (lambda: ops.gated_mlp(torch.zeros(2, 3), torch.zeros(4, 3), None, torch.zeros(2, 4)), TypeError, "w_up"),
    (lambda: ops.gated_mlp(torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(2, 4), activation="tanh"), ValueError, "activation"),
    (lambda: ops.linear_cross_entropy(torch.zeros(2, 3), torch.zeros(4, 3), torch.tensor([0, 4])), ValueError, r"target\[1\]"),
    (lambda: ops.linear_cross_entropy(torch.zeros(2, 3), torch.zeros(4, 3), torch.tensor([0, -1])), ValueError, r"target\[1\]"),
    (lambda: ops.linear_cross_entropy(torch.zeros(2, 3), torch.zeros(4, 3), torch.tensor([0.0, 1.0])), TypeError, "target"),
    (lambda: ops.linear_cross_entropy(torch.zeros(2, 3), torch.zeros(4, 3), torch.tensor([0, 1]), reduction="max"), ValueError, "reduction"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "name"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_wrong_input_is_named(call, error, name):
    with pytest.raises(error, match=name) as caught:
        call()
    assert "expected" in str(caught.value) and "\n" not in str(caught.value)


def test_build_info_tells_what_runs():
    info = laimbench.build_info()
    assert info["isa"] in info["isas_supported"] and info["torch"] == torch.__version__
    assert set(info["isas_supported"]) <= set(info["isas_built"])
    assert hashlib.sha1(info["commit"].encode()).digest_size == 20  # a string, possibly empty
