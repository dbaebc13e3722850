"""FLOPs of our models, by the formulas of ``laimbench.flops``."""

from laimbench import flops
from laimbench.flops import BACKWARD_FACTOR
from laimbench.models.gpt import GPTConfig


def gpt_forward_flops_per_token(config: GPTConfig) -> float:
    """Return the exact forward FLOPs per token: products of the blocks, causal attention, output layer."""
    return flops.gpt_forward_flops_per_token(
        width=config.width, depth=config.depth, vocab_size=config.vocab_size, seqlen=config.seqlen
    )


def gpt_training_flops(config: GPTConfig, tokens: float, params: int, embedding_params: int, convention: str = "exact"):
    """Return the FLOPs of training on ``tokens`` tokens by one of ``laimbench.flops.CONVENTIONS``.

    Args:
        config: the model's shape.
        tokens: training tokens.
        params: all parameters; embedding_params: those of token and position embeddings.
        convention: see ``laimbench.flops.training_flops``.
    """
    return flops.training_flops(
        convention,
        tokens,
        params=params,
        params_non_embedding=params - embedding_params,
        forward_per_token=gpt_forward_flops_per_token(config),
    )


def simple_training_flops(input_size: int, hidden_size: int, output_size: int, samples: float) -> float:
    """Return the exact training FLOPs of SimpleModel; the gradient of the input is not computed."""
    first, second = 2 * input_size * hidden_size, 2 * hidden_size * output_size
    return (2 * first + BACKWARD_FACTOR * second) * samples
