"""Floating-point operations of training, counted from a model's shapes, and the conventions in use.

A product of (m, k) and (k, n) is 2 m k n. Causal attention counts half of its square. The backward of a product is two
products; embedding look-ups, norms and activations are not counted.
"""

from laimbench.errors import InputError
from laimbench.models.gpt import GPTConfig

CONVENTIONS = ("exact", "6ND", "kaplan")
BACKWARD_FACTOR = 3  # forward once, backward twice


def gpt_forward_flops_per_token(config: GPTConfig) -> float:
    """Return the exact forward FLOPs per token: products of the blocks, causal attention, output layer."""
    width = config.width
    products = 2 * (3 + 1 + 4 + 4) * width * width
    # scores and their product with V: 2 x 2 S C per token for the square; half of it, the diagonal included
    attention = 2 * 2 * width * (config.seqlen + 1) / 2
    return config.depth * (products + attention) + 2 * width * config.vocab_size


def gpt_training_flops(config: GPTConfig, tokens: float, params: int, embedding_params: int, convention: str = "exact"):
    """Return the FLOPs of training on ``tokens`` tokens.

    Args:
        config: the model's shape.
        tokens: training tokens.
        params: all parameters; embedding_params: those of token and position embeddings.
        convention: "exact" (this module), "6ND" (6 x all parameters x tokens, Hoffmann et al. 2022), "kaplan"
            (6 x parameters without embeddings x tokens, Kaplan et al. 2020).
    """
    if convention == "exact":
        return BACKWARD_FACTOR * gpt_forward_flops_per_token(config) * tokens
    if convention == "6ND":
        return 6.0 * params * tokens
    if convention == "kaplan":
        return 6.0 * (params - embedding_params) * tokens
    raise InputError(f"FLOP convention is {convention!r}, expected one of {', '.join(CONVENTIONS)}")


def simple_training_flops(input_size: int, hidden_size: int, output_size: int, samples: float) -> float:
    """Return the exact training FLOPs of SimpleModel; the gradient of the input is not computed."""
    first, second = 2 * input_size * hidden_size, 2 * hidden_size * output_size
    return (2 * first + BACKWARD_FACTOR * second) * samples
