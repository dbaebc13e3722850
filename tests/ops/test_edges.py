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
from laimbench.ops import reference
from tests.ops.cases import make

OPS = ("attention", "mlp", "linear", "layer_norm", "linear_cross_entropy")


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
