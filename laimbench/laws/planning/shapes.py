"""Shapes of Transformers: parameters and FLOPs by exact formula.

V vocabulary, S sequence, C width (channels), F hidden width of the MLP, K width of keys and values (heads x head size; less
than C with grouped queries). Two architectures:

    gpt     LayerNorm with bias, learned positions, GELU MLP, biases everywhere: laimbench.models.GPT, GPT-2 (Radford et al. 2019)
    llama   RMSNorm, rotary positions, gated SiLU MLP, no biases (Touvron et al. 2023, arXiv:2302.13971)

The functions on plain numbers take arrays and fractions too: the planner's continuous family of shapes is made of them.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from laimbench.errors import InputError, require_at_least_one
from laimbench.laws.planning.allocation import Flops, six_nd

ARCHITECTURES = ("gpt", "llama")
VOCABULARY_MULTIPLE = 128  # the output layer is a matrix product: a vocabulary of whole tiles
LLAMA_HIDDEN = (
    8 / 3
)  # F / C at which three matrices have the parameters of two with F = 4 C (Shazeer 2020, arXiv:2002.05202)
HIDDEN_MULTIPLE = 128
COUNTED = ("total", "non_embedding")
CONVENTIONS = ("6ND", "kaplan", "exact")
ASPECT = 96.0  # width / depth of the continuous family
_WIDTHS = np.geomspace(1e-3, 1e25, 2049)  # of the continuous family; sizes between are interpolated


@dataclass(frozen=True)
class Shape:
    """One buildable Transformer. kv_heads: heads of keys and values; hidden: F."""

    architecture: str
    vocab_size: int
    seqlen: int
    width: int
    depth: int
    heads: int
    kv_heads: int
    hidden: int
    tied: bool

    def __post_init__(self):
        if self.architecture not in ARCHITECTURES:
            raise InputError(f"architecture is {self.architecture!r}, expected one of {', '.join(ARCHITECTURES)}")
        require_at_least_one(self, "vocab_size", "seqlen", "width", "depth", "heads", "kv_heads", "hidden")
        if self.width % self.heads:
            raise InputError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.heads % self.kv_heads:
            raise InputError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")

    @property
    def head_size(self) -> int:
        return self.width // self.heads

    @property
    def kv_width(self) -> int:
        return self.kv_heads * self.head_size

    @property
    def aspect(self) -> float:
        """Width over depth."""
        return self.width / self.depth

    @property
    def parts(self) -> dict[str, int]:
        """Parameters by part."""
        return parameter_parts(self.architecture, self.vocab_size, self.seqlen, self.width, self.depth, self.kv_width,
                               self.hidden, self.tied)  # fmt: skip

    @property
    def params(self) -> int:
        return sum(self.parts.values())

    @property
    def params_non_embedding(self) -> int:
        """Parameters without token and position embeddings; an output layer of its own counts."""
        return self.params - self.parts["token embedding"] - self.parts["position embedding"]

    @property
    def training_flops_per_token(self) -> float:
        """Forward and backward, the matrix products and causal attention, as laimbench.models.flops counts them."""
        return training_flops_per_token(self.architecture, self.vocab_size, self.seqlen, self.width, self.depth,
                                        self.kv_width, self.hidden)  # fmt: skip

    def counted(self, what: str) -> int:
        """Return the parameters that a law counts: "total" or "non_embedding"."""
        return self.params if what == "total" else self.params_non_embedding

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "head_size": self.head_size, "params": self.params,
                "params_non_embedding": self.params_non_embedding, "parts": self.parts}  # fmt: skip


def parameter_parts(
    architecture: str, vocab_size: Any, seqlen: Any, width: Any, depth: Any, kv_width: Any, hidden: Any, tied: bool
) -> dict[str, Any]:
    """Return the parameters of each part."""
    gpt = architecture == "gpt"
    return {
        "token embedding": vocab_size * width,
        "position embedding": seqlen * width if gpt else 0 * width,
        "attention": depth * (2 * width * width + 2 * width * kv_width + gpt * (2 * width + 2 * kv_width)),
        "mlp": depth * ((2 * width * hidden + hidden + width) if gpt else 3 * width * hidden),
        "norms": (2 * depth + 1) * width * (2 if gpt else 1),
        "output layer": 0 * width if tied else vocab_size * width,
    }


def training_flops_per_token(
    architecture: str, vocab_size: Any, seqlen: Any, width: Any, depth: Any, kv_width: Any, hidden: Any
) -> Any:
    """Return three times the forward FLOPs of a token: its matrix products, 2 m k n each, and half the attention square."""
    matrices = 2 * width * width + 2 * width * kv_width + (2 if architecture == "gpt" else 3) * width * hidden
    attention = 2 * 2 * width * (seqlen + 1) / 2  # scores and values of the keys seen, the diagonal included
    return 3.0 * (depth * (2 * matrices + attention) + 2 * width * vocab_size)


def hidden_width(architecture: str, width: Any, multiple: int = HIDDEN_MULTIPLE) -> int:
    """Return F: 4 C, or for the gated MLP 8/3 C rounded up to a multiple."""
    return 4 * width if architecture == "gpt" else int(-(-LLAMA_HIDDEN * width // multiple)) * multiple


def padded_vocabulary(vocab_size: int) -> int:
    """Return the vocabulary rounded up to a multiple of 128."""
    return -(-vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def flops_by_convention(
    convention: str,
    counted: str = "total",
    *,
    architecture: str = "gpt",
    vocab_size: int = 50304,
    seqlen: int = 1024,
    tied: bool = True,
    aspect: float = ASPECT,
) -> Flops:
    """Return flops(params, tokens) of training, for ``params`` as the law counts them.

    Args:
        convention: "6ND", 6 x params as counted x tokens; "kaplan", 6 x parameters without embeddings x tokens; "exact", every
            matrix product and causal attention.
        counted: what the law's params are, "total" or "non_embedding".
        architecture, vocab_size, seqlen, tied, aspect: the family of shapes, in width, along which "kaplan" and "exact" find
            the shape of a size.

    Raises:
        InputError: an unknown convention, count or architecture.
    """
    for what, value, choices in (("FLOP convention", convention, CONVENTIONS), ("parameter count", counted, COUNTED),
                                 ("architecture", architecture, ARCHITECTURES)):  # fmt: skip
        if value not in choices:
            raise InputError(f"{what} is {value!r}, expected one of {', '.join(choices)}")

    if convention == "6ND" or (convention == "kaplan" and counted == "non_embedding"):
        return six_nd
    hidden = (4.0 if architecture == "gpt" else LLAMA_HIDDEN) * _WIDTHS
    parts = parameter_parts(architecture, vocab_size, seqlen, _WIDTHS, _WIDTHS / aspect, _WIDTHS, hidden, tied)
    non_embedding = sum(parts.values()) - parts["token embedding"] - parts["position embedding"]
    sizes = sum(parts.values()) if counted == "total" else non_embedding
    if convention == "kaplan":
        per_token = 6.0 * non_embedding
    else:
        per_token = training_flops_per_token(
            architecture, vocab_size, seqlen, _WIDTHS, _WIDTHS / aspect, _WIDTHS, hidden
        )
    log_per_token = PchipInterpolator(np.log(sizes), np.log(per_token))

    def flops(params: Any, tokens: Any) -> Any:
        return np.exp(log_per_token(np.log(params))) * tokens

    return flops
