import pytest
import torch

pytest.importorskip("laimbench._C")

from laimbench import ops
from laimbench.bench import kernels
from laimbench.bench.correctness import judge
from laimbench.models import stock

ATTENTION = kernels.attention(1, 2, 24, 16)
MLP = kernels.mlp(16, 8)
NORM = kernels.layer_norm(16, 8, residual=True)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def verdict(case, op, dtype=torch.float32, direction="forward+backward"):
    return judge(case, op, getattr(stock, case.op), dtype, direction)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", [ATTENTION, MLP, NORM, kernels.linear(16, 8, 12), kernels.linear_cross_entropy(16, 8, 40)],
                         ids=lambda case: case.op)  # fmt: skip
def test_stock_is_right_by_its_own_rule(case, dtype):
    assert verdict(case, getattr(stock, case.op), dtype).right


@pytest.mark.parametrize("case", [ATTENTION, MLP, NORM], ids=lambda case: case.op)
def test_our_ops_are_right(case):
    found = verdict(case, getattr(ops, case.op))
    assert found.right, found.detail


def test_a_small_mistake_in_the_output_is_caught():
    def wrong_scale(q, k, v, *, causal=False):
        return stock.attention(q, k, v, causal=causal, scale=1.001 * q.shape[-1] ** -0.5)

    found = verdict(ATTENTION, wrong_scale, direction="forward")
    assert not found.right and found.detail.startswith("output 0: error")


def test_a_right_output_with_a_wrong_gradient_is_caught_only_where_gradients_count():
    def dropped_bias_gradient(x, w1, b1, w2, b2):
        return stock.mlp(x, w1, b1.detach(), w2, b2)

    assert verdict(MLP, dropped_bias_gradient, direction="forward").right
    found = verdict(MLP, dropped_bias_gradient)
    assert not found.right and found.detail == "gradient 2 is None, expected a tensor"


def test_a_nan_is_not_made_up_for_by_right_results_after_it():
    class NaNForward(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return torch.full_like(x, torch.nan)

        @staticmethod
        def setup_context(ctx, inputs, output): ...

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    def nan_output_right_gradients(x, w1, b1, w2, b2):
        return NaNForward.apply(stock.mlp(x, w1, b1, w2, b2))

    found = verdict(MLP, nan_output_right_gradients)
    assert not found.right and found.detail == "output 0 is not a number somewhere"


def test_a_wrong_shape_a_missing_output_and_an_exception_are_verdicts():
    assert (
        "has shape (16, 4), expected (16, 8)"
        in verdict(MLP, lambda *args: stock.mlp(*args)[:, :4], direction="forward").detail
    )
    assert verdict(NORM, lambda x, w, b, residual: x, direction="forward").detail == "1 results, expected 2"
    assert "takes 1 positional argument" in verdict(MLP, lambda x: x).detail
    assert not verdict(MLP, lambda *args: None).right
