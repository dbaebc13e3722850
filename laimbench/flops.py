"""Floating-point operations of training, and the conventions in use for counting them. Plain arithmetic on numbers or arrays.

A product of (m, k) and (k, n) is 2 m k n. Causal attention counts half of its square, the diagonal included. The backward of a
product is two products; embedding look-ups, norms and activations are not counted.
"""

from typing import Any

from laimbench.errors import InputError

CONVENTIONS = ("exact", "6ND", "kaplan")
FLOPS_PER_PARAM_AND_TOKEN = 6.0  # a multiply and an add, forward once and backward twice
BACKWARD_FACTOR = 3  # forward once, backward twice


def gpt_forward_flops_per_token(*, width: Any, depth: Any, vocab_size: Any, seqlen: Any) -> Any:
    """Return the exact forward FLOPs per token of a GPT whose MLP is 4 x width: products, causal attention, output layer."""
    products = 2 * (3 + 1 + 4 + 4) * width * width
    # scores and their product with V: 2 x 2 S C per token for the square; half of it, the diagonal included
    attention = 2 * 2 * width * (seqlen + 1) / 2
    return depth * (products + attention) + 2 * width * vocab_size


def training_flops(
    convention: str, tokens: Any, *, params: Any = None, params_non_embedding: Any = None, forward_per_token: Any = None
) -> Any:
    """Return the FLOPs of training on ``tokens`` tokens.

    Args:
        convention: "6ND" (6 x all parameters x tokens, Hoffmann et al. 2022), "kaplan" (6 x parameters without embeddings x
            tokens, Kaplan et al. 2020, section 2.1), or "exact" (three forward passes, ``gpt_forward_flops_per_token``).

    Raises:
        InputError: no such convention.
    """
    if convention == "exact":
        return BACKWARD_FACTOR * forward_per_token * tokens
    if convention == "6ND":
        return FLOPS_PER_PARAM_AND_TOKEN * params * tokens
    if convention == "kaplan":
        return FLOPS_PER_PARAM_AND_TOKEN * params_non_embedding * tokens
    raise InputError(f"FLOP convention is {convention!r}, expected one of {', '.join(CONVENTIONS)}")
