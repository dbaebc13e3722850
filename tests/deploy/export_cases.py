"""Small checkpoints of every family with random weights, none of them zero or one, and the rule that logits are judged by."""

from pathlib import Path

import torch

from laimbench.data.tokenizer import train_tokenizer, vocabulary_size
from laimbench.train import RunConfig, load_checkpoint
from laimbench.train.checkpoint import write_checkpoint
from laimbench.train.tasks import TASKS

TEXT = [f"def function_{i}(value):\n    return value + {i * 7}\n" for i in range(40)]
SMALL = {"width": 32, "depth": 2, "heads": 4, "seqlen": 24}
LLAMA = {"norm": "rms", "mlp": "swiglu", "positions": "rotary"}
GPTS = {
    "gpt2": {"mlp": "gelu_tanh"},
    "gpt2-untied": {"tied": False, "mlp": "relu", "hidden": 48},
    "llama": {**LLAMA, "kv_heads": 2, "tied": False, "rope_base": 5e5, "eps": 1e-6},
    "llama-tied": {**LLAMA, "rope_base": 1e3},
}
BERTS = {"bert": {"objective": "masked"}, "bert-classes": {"objective": "classes", "mlp": "gelu_tanh"}}
IMAGES = {"classes": ["a", "b", "c"], "image_size": 8, "colours": 1}
SOUND = {"classes": ["x", "y"], "bands": 8, "rate": 16_000, "seconds": 1.0}
OTHERS = {
    "vit": ({"family": "vit"}, IMAGES),
    "mlp": ({"family": "mlp", "depth": 3}, IMAGES),
    "transformer": ({"family": "transformer"}, {"vocab_size": 30, "max_target": 12}),
    "audio": ({"family": "audio"}, {**SOUND, "ctc": False}),
    "audio-ctc": ({"family": "audio", "norm": "rms"}, {**SOUND, "ctc": True}),
}


def values_and_facts(name: str, vocab_size: int) -> tuple[dict, dict]:
    if name in GPTS:
        return {**GPTS[name], "family": "gpt"}, {"vocab_size": vocab_size}
    if name in BERTS:
        classes = ["no", "yes", "perhaps"] if name == "bert-classes" else []
        return {**BERTS[name], "family": "bert"}, {"vocab_size": vocab_size, "classes": classes}
    return OTHERS[name]


def make(name: str, folder: Path, **options) -> Path:
    """Write a checkpoint; families of text have a tokenizer of their own."""
    torch.manual_seed(0)
    text = name in GPTS or name in BERTS
    tokenizer = train_tokenizer(TEXT, 300) if text else None
    values, facts = values_and_facts(name, vocabulary_size(tokenizer) if text else 0)
    config = RunConfig.from_dict({**SMALL, "backend": "torch", **values, **options})
    model = TASKS[config.family].build(config, facts)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    state = {"step": 1, "val_loss": float("nan")}
    write_checkpoint(folder, config, facts, state, model, tokenizer.to_str().encode() if text else None)
    return folder


def model_of(folder: Path):
    return load_checkpoint(folder, "torch").model


def judge(own, theirs, exact, factor=2.0):
    """Their error against a run in float64 is at most twice ours, plus one rounding of the largest."""
    own_error, error = ((x.double() - exact).abs().max().item() for x in (own, theirs))
    allowed = factor * own_error + torch.finfo(torch.float32).eps * exact.abs().max().item()
    assert exact.std() > 0.01, "nothing to compare"
    assert error <= allowed, (error, allowed)
