"""Linear-cross-entropy of more tokens than one chunk of logits has: right, with the same bits for any number of threads, in little memory."""

import subprocess
import sys

import pytest
import torch

from laimbench import ops
from tests.ops.cases import Case, measure

TOKENS, VOCABULARY = 901, 3001  # three chunks, the last one shorter, none of whole tiles


def some_case(dtype: torch.dtype, reduction: str) -> Case:
    torch.manual_seed(0)
    target = torch.randint(VOCABULARY, (TOKENS,))
    target[::7] = -100
    tensors = [torch.randn(TOKENS, 20).to(dtype), torch.randn(VOCABULARY, 20).to(dtype), target]
    return Case("linear_cross_entropy", tensors, {"reduction": reduction, "bias": torch.randn(VOCABULARY).to(dtype)})


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chunks_are_right(dtype, reduction):
    for errors in measure(some_case(dtype, reduction)):
        assert errors.within(), errors


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chunks_have_the_same_bits_with_one_two_and_four_threads(dtype):
    case = some_case(dtype, "mean")
    x, w, target = case.inputs
    results = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        leaves = [t.clone().requires_grad_() for t in (x, w, case.options["bias"])]
        loss = ops.linear_cross_entropy(*leaves[:2], target, bias=leaves[2])
        loss.backward()
        results.append([loss.detach(), *(t.grad for t in leaves)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_gradients_may_be_asked_for_again_and_are_the_caller_s(factor):
    case = some_case(torch.float32, "mean")
    x, w, target = case.inputs
    leaves = [x.clone().requires_grad_(), w.clone().requires_grad_()]
    loss = ops.linear_cross_entropy(*leaves, target) * factor
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    expected = [gradient.clone() for gradient in first]
    for gradient in first:
        gradient.zero_()
    loss.backward(retain_graph=True)
    loss.backward()
    for leaf, gradient in zip(leaves, expected, strict=True):
        assert torch.equal(leaf.grad, 2 * gradient)


def test_the_logits_never_exist():
    script = """
import resource, torch
from laimbench import ops
x, w, target = torch.randn(4096, 16, requires_grad=True), torch.randn(16384, 16, requires_grad=True), torch.randint(16384, (4096,))
def step(tokens):
    ops.linear_cross_entropy(x[:tokens], w, target[:tokens]).backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = step(48)
print((step(4096) - before) // 1024)
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(answer.stdout) < 60  # MiB; all logits would be 256, and their gradients as much
