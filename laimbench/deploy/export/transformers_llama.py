"""GPT with rotary positions, RMSNorm and SwiGLU, as Hugging Face's LlamaForCausalLM and back. Our rotary pairs (i, i + D/2) are
theirs: queries and keys need no permutation.
"""

from typing import Any

from torch import Tensor

from laimbench.deploy.export.layout import Found, require
from laimbench.deploy.export.options import Options
from laimbench.deploy.export.weights import Entry, Weights, pairs, to_theirs
from laimbench.models import GPT

ARCHITECTURE = "LlamaForCausalLM"
ROPE_BASE = 10_000.0


def table(depth: int, width: int, kv_width: int, tied: bool) -> list[Entry]:
    """Return what is called how; kv_width: channels of all keys."""
    names = {"tokens": "model.embed_tokens", "stack.norm": "model.norm", **({} if tied else {"head": "lm_head"})}
    entries = pairs(names, ["weight"])
    for i in range(depth):
        ours, theirs = f"stack.blocks.{i}", f"model.layers.{i}"
        layers = {"norm1": "input_layernorm", "norm2": "post_attention_layernorm", "attention.project": "self_attn.o_proj",
                  "mlp.gate": "mlp.gate_proj", "mlp.up": "mlp.up_proj", "mlp.down": "mlp.down_proj"}  # fmt: skip
        entries += pairs({f"{ours}.{own}": f"{theirs}.{other}" for own, other in layers.items()}, ["weight"])
        parts = tuple(f"{theirs}.self_attn.{part}_proj.weight" for part in "qkv")
        entries.append(Entry(f"{ours}.attention.qkv.weight", parts, (width, kv_width, kv_width)))
    return entries


def write(model: GPT) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the content of config.json and the weights.

    Raises:
        InputError: Llama has no such option.
    """
    config, block = model.config, model.config.block
    require(ARCHITECTURE, "positions", config.positions, "rotary")
    require(ARCHITECTURE, "norm", config.norm, "rms")
    require(ARCHITECTURE, "mlp", config.mlp, "swiglu")
    values = {
        "architectures": [ARCHITECTURE], "model_type": "llama", "vocab_size": config.vocab_size,
        "max_position_embeddings": config.seqlen, "hidden_size": config.width, "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads, "num_key_value_heads": block.kv_heads, "head_dim": block.head_size,
        "intermediate_size": block.hidden, "hidden_act": "silu", "rms_norm_eps": config.eps,
        "tie_word_embeddings": config.tied, "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0,
        # transformers 5 reads the second; all before it, and most other programs, the first
        "rope_theta": config.rope_base, "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_base},
    }  # fmt: skip
    entries = table(config.depth, config.width, block.kv_heads * block.head_size, config.tied)
    return values, to_theirs(entries, dict(model.named_parameters()))


def read(options: Options, weights: Weights) -> Found:
    """Return the same model for a checkpoint.

    Raises:
        InputError: naming the option or weight that ours do not have.
    """
    width, heads = options.get("hidden_size", int), options.get("num_attention_heads", int)
    kv_heads, depth = options.get("num_key_value_heads", int, heads), options.get("num_hidden_layers", int)
    options.refuse_unless(heads > 0 and width % heads == 0, "num_attention_heads", "expected a divisor of hidden_size")
    options.expect("head_dim", width // heads, width // heads)
    options.expect("hidden_act", "silu", "silu")
    options.expect("attention_bias", False, False)
    options.expect("mlp_bias", False, False)
    options.expect("partial_rotary_factor", 1.0, 1.0)
    tied = options.get("tie_word_embeddings", bool, False)
    config = {
        "family": "gpt", "vocab_size": options.get("vocab_size", int), "seqlen": options.get("max_position_embeddings", int),
        "width": width, "depth": depth, "heads": heads, "kv_heads": kv_heads,
        "hidden": options.get("intermediate_size", int), "norm": "rms", "mlp": "swiglu", "positions": "rotary",
        "rope_base": _rope_base(options), "eps": options.get("rms_norm_eps", float, 1e-6), "tied": tied,
    }  # fmt: skip
    weights.drop(lambda name: name.endswith("rotary_emb.inv_freq"))  # a table of what rope_theta says
    found = weights.to_ours(table(depth, width, kv_heads * (width // heads), tied))
    if tied:
        weights.take_copy("lm_head.weight", found["tokens.weight"])
    return Found(config, {"vocab_size": config["vocab_size"]}, found)


def _rope_base(options: Options) -> float:
    """Return the one base of rotary positions that the options agree on; scaled ones are refused."""
    bases = {options.get("rope_theta", float, None)}
    for name in ("rope_scaling", "rope_parameters"):
        given = dict(options.get(name, dict, {}))
        kinds = {given.pop("rope_type", "default"), given.pop("type", "default")}
        bases.add(given.pop("rope_theta", None))
        options.refuse_unless(
            kinds == {"default"} and not any(given.values()), name, "expected positions without scaling"
        )
    bases.discard(None)
    options.refuse_unless(len(bases) < 2, "rope_theta", f"expected one base, found {', '.join(map(str, bases))}")
    return float(bases.pop()) if bases else ROPE_BASE
