"""GPT with learned positions and LayerNorm, as Hugging Face's GPT2LMHeadModel and back."""

from typing import Any

from torch import Tensor

from laimbench.deploy.export.layout import Found, require
from laimbench.deploy.export.options import Options
from laimbench.deploy.export.weights import Entry, Weights, pairs, to_theirs
from laimbench.models import GPT

ARCHITECTURE = "GPT2LMHeadModel"
ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu"}
NAMES = {**{name: ours for ours, name in ACTIVATIONS.items()}, "gelu_pytorch_tanh": "gelu_tanh"}
PREFIX = "transformer."


def table(depth: int, tied: bool) -> list[Entry]:
    """Return what is called how."""
    entries = pairs({"tokens": f"{PREFIX}wte", "positions": f"{PREFIX}wpe"}, ["weight"])
    entries += pairs({"stack.norm": f"{PREFIX}ln_f"}, ["weight", "bias"])
    for i in range(depth):
        ours, theirs = f"stack.blocks.{i}", f"{PREFIX}h.{i}"
        entries += pairs({f"{ours}.norm1": f"{theirs}.ln_1", f"{ours}.norm2": f"{theirs}.ln_2"}, ["weight", "bias"])
        products = {
            "attention.qkv": "attn.c_attn",
            "attention.project": "attn.c_proj",
            "mlp.up": "mlp.c_fc",
            "mlp.down": "mlp.c_proj",
        }
        for own, other in products.items():
            entries.append(Entry(f"{ours}.{own}.weight", (f"{theirs}.{other}.weight",), transposed=True))
            entries.append(Entry(f"{ours}.{own}.bias", (f"{theirs}.{other}.bias",)))
    return entries if tied else [*entries, Entry("head.weight", ("lm_head.weight",))]


def write(model: GPT) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the content of config.json and the weights.

    Raises:
        InputError: GPT-2 has no such option.
    """
    config = model.config
    require(ARCHITECTURE, "positions", config.positions, "learned")
    require(ARCHITECTURE, "norm", config.norm, "layer")
    require(ARCHITECTURE, "mlp", config.mlp, *ACTIVATIONS)
    require(ARCHITECTURE, "kv_heads", config.block.kv_heads, config.heads)
    values = {
        "architectures": [ARCHITECTURE], "model_type": "gpt2", "vocab_size": config.vocab_size, "n_positions": config.seqlen,
        "n_embd": config.width, "n_layer": config.depth, "n_head": config.heads, "n_inner": config.block.hidden,
        "activation_function": ACTIVATIONS[config.mlp], "layer_norm_epsilon": config.eps, "tie_word_embeddings": config.tied,
        "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
    }  # fmt: skip
    return values, to_theirs(table(config.depth, config.tied), dict(model.named_parameters()))


def read(options: Options, weights: Weights) -> Found:
    """Return the same model for a checkpoint.

    Raises:
        InputError: naming the option or weight that ours do not have.
    """
    width, depth = options.get("n_embd", int), options.get("n_layer", int)
    options.expect("scale_attn_weights", True, True)
    options.expect("scale_attn_by_inverse_layer_idx", False, False)
    options.expect("add_cross_attention", False, False)
    tied = options.get("tie_word_embeddings", bool, True)
    config = {
        "family": "gpt", "vocab_size": options.get("vocab_size", int), "seqlen": options.get("n_positions", int), "width": width,
        "depth": depth, "heads": options.get("n_head", int), "hidden": options.get("n_inner", int, 4 * width),
        "mlp": options.choose("activation_function", NAMES, "gelu_new"), "norm": "layer", "positions": "learned",
        "eps": options.get("layer_norm_epsilon", float, 1e-5), "tied": tied,
    }  # fmt: skip
    if not any(name.startswith(PREFIX) for name in weights.values):  # the first GPT-2s were saved without their head
        weights.values = {
            name if name.startswith("lm_head") else PREFIX + name: v for name, v in weights.values.items()
        }
    weights.drop(lambda name: name.endswith((".attn.bias", ".attn.masked_bias")))  # causal masks
    found = weights.to_ours(table(depth, tied))
    if tied:
        weights.take_copy("lm_head.weight", found["tokens.weight"])
    return Found(config, {"vocab_size": config["vocab_size"]}, found)
