"""The planner's formulas of shapes against models that are really built."""

import pytest
import torch

from laimbench.laws.planning.memory import block_activations
from laimbench.laws.planning.shapes import Shape
from laimbench.models import GPT, GPTConfig
from laimbench.models.backends import get_ops
from laimbench.models.blocks import Block, BlockConfig, Context
from laimbench.models.flops import gpt_forward_flops_per_token


@pytest.mark.parametrize(
    ("vocab", "seqlen", "width", "depth", "heads", "tied"),
    [(97, 24, 32, 2, 2, True), (256, 17, 64, 3, 1, False), (128, 8, 96, 1, 3, True)],
)
def test_parameters_and_flops_are_those_of_the_model(vocab, seqlen, width, depth, heads, tied):
    config = GPTConfig(vocab_size=vocab, seqlen=seqlen, width=width, depth=depth, heads=heads, tied=tied)
    shape = Shape("gpt", vocab, seqlen, width, depth, heads, heads, 4 * width, tied)
    model = GPT(config)
    assert shape.params == sum(p.numel() for p in model.parameters())
    embeddings = model.tokens.weight.numel() + model.positions.weight.numel()
    assert shape.params_non_embedding == shape.params - embeddings
    assert shape.training_flops_per_token == 3 * gpt_forward_flops_per_token(config)


@pytest.mark.parametrize(("dtype", "element"), [(torch.bfloat16, 2), (torch.float32, 4)])
def test_activations_are_what_autograd_keeps_of_a_block(dtype, element):
    width, heads, seqlen = 128, 2, 64
    block = Block(BlockConfig(width, heads, causal=True), get_ops("torch")).to(dtype)
    weights = {p.untyped_storage().data_ptr() for p in block.parameters()}
    kept, alive = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    x, branch = (torch.randn(2, seqlen, width, dtype=dtype, requires_grad=True) for _ in range(2))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        block(x, branch, Context())
    measured = sum(kept.values()) / (2 * seqlen)
    shape = Shape("gpt", 10, seqlen, width, 1, heads, heads, 4 * width, True)
    # mean and 1 / deviation of two norms are left out: 4 numbers
    assert measured == block_activations(shape, element) + 4 * element
