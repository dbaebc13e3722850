"""FLOPs of our models, exactly as their products are: (m, k) by (k, n) is 2 m k n, the backward of a product two products.

Causal attention counts the keys a query sees; embeddings, norms, activations and rotations are not counted.
"""

from dataclasses import replace

from laimbench import flops
from laimbench.flops import BACKWARD_FACTOR
from laimbench.models.audio import AudioConfig
from laimbench.models.bert import BERTConfig
from laimbench.models.blocks import BlockConfig
from laimbench.models.gpt import GPTConfig
from laimbench.models.transformer import TransformerConfig
from laimbench.models.vit import ViTConfig

FIRST_LAYER_FACTOR = 2  # forward and the gradient of weights: nobody asks for the gradient of data


def block_forward_flops(config: BlockConfig, tokens: float, keys: float, memory: float = 0) -> float:
    """Return the forward FLOPs of one block on ``tokens`` positions, each of which sees ``keys`` keys in the mean and, with
    cross-attention, ``memory`` positions of an encoder (counted once as keys and values).
    """
    width, kv = config.width, config.kv_heads * config.head_size
    products = width * (2 * width + 2 * kv) + (3 if config.mlp == "swiglu" else 2) * width * config.hidden
    total = tokens * (2 * products + 4 * width * keys)
    if config.cross:
        total += tokens * (4 * width * width + 4 * width * memory) + memory * 4 * width * kv
    return total


def gpt_forward_flops_per_token(config: GPTConfig) -> float:
    """Return the forward FLOPs per token at full sequence length, output layer included."""
    return (
        config.depth * block_forward_flops(config.block, 1, (config.seqlen + 1) / 2)
        + 2 * config.width * config.vocab_size
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


def simple_training_flops(input_size: int, hidden_size: int, output_size: int, samples: float, depth: int = 2) -> float:
    """Return the exact training FLOPs of SimpleModel."""
    first = 2 * input_size * hidden_size
    others = 2 * hidden_size * (output_size + (depth - 2) * hidden_size)
    return (FIRST_LAYER_FACTOR * first + BACKWARD_FACTOR * others) * samples


def bert_training_flops(config: BERTConfig, seqlen: int, masked: int, sequences: float) -> float:
    """Return the FLOPs of training on sequences of ``seqlen`` tokens, ``masked`` of which are asked for (or on classes)."""
    blocks = config.depth * block_forward_flops(config.block, seqlen, seqlen)
    asked, outputs = (1, config.classes) if config.classes else (masked, config.vocab_size)
    return BACKWARD_FACTOR * (blocks + asked * 2 * config.width * (config.width + outputs)) * sequences


def transformer_training_flops(config: TransformerConfig, source: int, target: int, pairs: float) -> float:
    """Return the FLOPs of training on pairs of these padded lengths."""
    decoder = replace(config.block, causal=True, cross=True)
    encoded = block_forward_flops(config.block, source, source)
    decoded = block_forward_flops(decoder, target, (target + 1) / 2, source)
    output = 2 * config.width * config.vocab_size * target
    return BACKWARD_FACTOR * (config.depth * (encoded + decoded) + output) * pairs


def vit_training_flops(config: ViTConfig, images: float) -> float:
    """Return the FLOPs of training on ``images`` images."""
    tokens = config.patches + 1
    embed = 2 * config.patches * config.patch_values * config.width
    rest = config.depth * block_forward_flops(config.block, tokens, tokens) + 2 * config.width * config.classes
    return (FIRST_LAYER_FACTOR * embed + BACKWARD_FACTOR * rest) * images


def audio_training_flops(config: AudioConfig, frames: int, clips: float) -> float:
    """Return the FLOPs of training on clips of ``frames`` padded frames."""
    steps = config.steps(frames)
    subsample = 2 * steps * 2 * config.stride * config.bands * config.width
    outputs = steps * (config.labels + 1) if config.ctc else config.labels
    rest = config.depth * block_forward_flops(config.block, steps, steps) + 2 * config.width * outputs
    return (FIRST_LAYER_FACTOR * subsample + BACKWARD_FACTOR * rest) * clips
