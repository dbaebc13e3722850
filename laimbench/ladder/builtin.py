"""The ladders of ``laimbench demo``."""

from laimbench.ladder.config import Ladder, make_ladder

# About four minutes on two cores; smoke: seconds.
GPT_SIZES = [
    {"width": 32, "depth": 2, "tokens": [98_304, 196_608]},
    {"width": 48, "depth": 2, "tokens": [131_072, 262_144]},
    {"width": 64, "depth": 3, "tokens": [163_840, 327_680]},
    {"width": 96, "depth": 4, "tokens": [163_840, 294_912]},
]
BF16_SIZES = [
    {"width": 32, "depth": 2, "tokens": [98_304]},
    {"width": 48, "depth": 2, "tokens": [98_304]},
    {"width": 64, "depth": 3, "tokens": [98_304]},
    {"width": 96, "depth": 4, "tokens": [131_072]},
]
SOFTWARE_BF16_SIZES = [{"width": 32, "depth": 2, "tokens": [49_152]}, {"width": 48, "depth": 2, "tokens": [49_152]}]
MLP_SIZES = [{"width": width, "tokens": [28_760]} for width in (8, 32, 128, 512)]
SMOKE_SIZES = [{"width": 32, "depth": 1, "tokens": [4_096, 8_192]}, {"width": 64, "depth": 1, "tokens": [4_096, 8_192]}]


def demo_ladders(smoke: bool, native_bf16: bool = True) -> list[Ladder]:
    """Return the ladders: GPT in fp32 and bf16 on the standard library's source, SimpleModel on handwritten digits. Without a processor
    that multiplies bf16 itself the bf16 ladder is two small sizes: whether models learn the same, not how fast.
    """
    gpt = {"family": "gpt", "data": "builtin:python", "seeds": [0, 1]}
    mlp = {"family": "mlp", "data": "builtin:digits", "seeds": [0, 1], "train": {"batch_size": 32, "evals": 4}}
    if smoke:
        train = {"vocab_size": 512, "seqlen": 64, "batch_size": 8, "evals": 2, "eval_tokens": 2048}
        sizes = [{"width": 8, "tokens": [1438]}]
        specifications = [
            {"name": "demo-gpt", "dtype": "fp32", "sizes": SMOKE_SIZES, "train": train, **gpt},
            {"name": "demo-mlp", "sizes": sizes, **mlp},
        ]
    else:
        train = {"seqlen": 128, "batch_size": 8, "evals": 6, "eval_tokens": 8192}
        specifications = [
            {"name": "demo-gpt", "dtype": "fp32", "sizes": GPT_SIZES, "train": train, **gpt},
            {
                "name": "demo-gpt-bf16",
                "dtype": "bf16",
                "sizes": BF16_SIZES if native_bf16 else SOFTWARE_BF16_SIZES,
                "train": train,
                **gpt,
            },
            {"name": "demo-mlp", "sizes": MLP_SIZES, **mlp},
        ]
    return [make_ladder(specification) for specification in specifications]
