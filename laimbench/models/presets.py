"""Shapes of known models by name: to plan and to dry-run anywhere, to train where they fit."""

from typing import Any

LLAMA = {"norm": "rms", "mlp": "swiglu", "positions": "rotary", "tied": False}
GPT2 = {"vocab_size": 50_257, "seqlen": 1024, "mlp": "gelu_tanh"}
GPT3 = {"vocab_size": 50_257, "seqlen": 2048, "mlp": "gelu_tanh"}

PRESETS: dict[str, dict[str, Any]] = {
    # Radford et al. 2019, table 2
    "gpt2": {"family": "gpt", "width": 768, "depth": 12, "heads": 12, **GPT2},
    "gpt2-medium": {"family": "gpt", "width": 1024, "depth": 24, "heads": 16, **GPT2},
    "gpt2-large": {"family": "gpt", "width": 1280, "depth": 36, "heads": 20, **GPT2},
    "gpt2-xl": {"family": "gpt", "width": 1600, "depth": 48, "heads": 25, **GPT2},
    # Brown et al. 2020, table 2.1; its sparse attention layers are dense here
    "gpt3-small": {"family": "gpt", "width": 768, "depth": 12, "heads": 12, **GPT3},
    "gpt3-xl": {"family": "gpt", "width": 2048, "depth": 24, "heads": 16, **GPT3},
    "gpt3-6.7b": {"family": "gpt", "width": 4096, "depth": 32, "heads": 32, **GPT3},
    "gpt3-13b": {"family": "gpt", "width": 5120, "depth": 40, "heads": 40, **GPT3},
    "gpt3-175b": {"family": "gpt", "width": 12_288, "depth": 96, "heads": 96, **GPT3},
    # Touvron et al. 2023a, table 2; 2023b; Grattafiori et al. 2024, table 3
    "llama-7b": {"family": "gpt", "width": 4096, "depth": 32, "heads": 32, "hidden": 11_008, "vocab_size": 32_000,
                 "seqlen": 2048, **LLAMA},
    "llama-13b": {"family": "gpt", "width": 5120, "depth": 40, "heads": 40, "hidden": 13_824, "vocab_size": 32_000,
                  "seqlen": 2048, **LLAMA},
    "llama2-70b": {"family": "gpt", "width": 8192, "depth": 80, "heads": 64, "kv_heads": 8, "hidden": 28_672,
                   "vocab_size": 32_000, "seqlen": 4096, **LLAMA},
    "llama3-8b": {"family": "gpt", "width": 4096, "depth": 32, "heads": 32, "kv_heads": 8, "hidden": 14_336,
                  "vocab_size": 128_256, "seqlen": 8192, **LLAMA},
    # Devlin et al. 2019, section 3; three of the 30,522 entries are our special tokens
    "bert-base": {"family": "bert", "width": 768, "depth": 12, "heads": 12, "vocab_size": 30_519, "seqlen": 512},
    "bert-large": {"family": "bert", "width": 1024, "depth": 24, "heads": 16, "vocab_size": 30_519, "seqlen": 512},
    # Vaswani et al. 2017, table 3 (their vocabulary is the data's here)
    "transformer-base": {"family": "transformer", "width": 512, "depth": 6, "heads": 8, "hidden": 2048},
    "transformer-big": {"family": "transformer", "width": 1024, "depth": 6, "heads": 16, "hidden": 4096},
    # Dosovitskiy et al. 2021, table 1
    "vit-b16": {"family": "vit", "width": 768, "depth": 12, "heads": 12, "image_size": 224, "patch": 16},
    "vit-l16": {"family": "vit", "width": 1024, "depth": 24, "heads": 16, "image_size": 224, "patch": 16},
}  # fmt: skip
