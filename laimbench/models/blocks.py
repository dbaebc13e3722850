"""What all Transformers here are made of: norm, attention, MLP, block and stack, each once.

Shapes: B batch, S sequence, C channels, H heads, D head size. Sources: Vaswani et al. 2017 (post-norm), Xiong et al. 2020
(pre-norm), Zhang & Sennrich 2019 (RMSNorm), Shazeer 2020 (SwiGLU), Su et al. 2021 (rotary), Ainslie et al. 2023 (GQA).
"""

from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from laimbench.errors import InputError, require_at_least_one
from laimbench.models.cache import LayerCache
from laimbench.models.documents import Documents

NORMS = ("layer", "rms")
MLPS = ("gelu", "gelu_tanh", "relu", "swiglu")
INIT_STD = 0.02  # of all weights (Radford et al. 2019)


@dataclass(frozen=True)
class BlockConfig:
    """Shape of a block. kv_heads, hidden: 0 for as many as heads, and for four times the width (swiglu: 8/3, so that
    parameters are the same, to a multiple of 16). Linear layers have a bias where the norms have one: not with "rms".
    """

    width: int
    heads: int
    kv_heads: int = 0
    hidden: int = 0
    norm: str = "layer"
    mlp: str = "gelu"
    causal: bool = False
    rotary: bool = False
    post_norm: bool = False
    cross: bool = False  # attends to an encoder's output too
    eps: float = 1e-5

    def __post_init__(self):
        require_at_least_one(self, "width", "heads")
        for name, choices in (("norm", NORMS), ("mlp", MLPS)):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(choices)}")
        if self.width % self.heads:
            raise InputError(f"width {self.width} is not a multiple of heads {self.heads}")
        object.__setattr__(self, "kv_heads", self.kv_heads or self.heads)
        if self.kv_heads < 0 or self.heads % self.kv_heads:
            raise InputError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if self.rotary and self.head_size % 2:
            raise InputError(f"rotary positions with heads of size {self.head_size}, expected an even size")
        swiglu_hidden = 16 * max(1, round(8 * self.width / 3 / 16))
        object.__setattr__(self, "hidden", self.hidden or (swiglu_hidden if self.mlp == "swiglu" else 4 * self.width))

    @property
    def head_size(self) -> int:
        return self.width // self.heads

    @property
    def bias(self) -> bool:
        return self.norm == "layer"


@dataclass
class Context:
    """What the layers of one forward pass share beside the residual stream."""

    key_lengths: Tensor | None = None  # (B,): keys that are not padding
    rotation: tuple[Tensor, Tensor] | None = None  # cos and sin, (S, D) or (B, 1, S, D)
    memory: Tensor | None = None  # (B, M, C): an encoder's output
    memory_lengths: Tensor | None = None  # (B,)
    documents: Documents | None = None  # which the stream's attention stays within


class Norm(nn.Module):
    """LayerNorm or RMSNorm, with the residual addition before it as part of the same op."""

    def __init__(self, config: BlockConfig, ops: ModuleType):
        super().__init__()
        self.ops, self.eps = ops, config.eps
        self.weight = nn.Parameter(torch.ones(config.width))
        self.bias = nn.Parameter(torch.zeros(config.width)) if config.bias else None

    def forward(self, x_BSC: Tensor, residual_BSC: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the norm of x + residual, and x + residual."""
        if self.bias is None:
            out = self.ops.rms_norm(x_BSC, self.weight, eps=self.eps, residual=residual_BSC)
        else:
            out = self.ops.layer_norm(x_BSC, self.weight, self.bias, eps=self.eps, residual=residual_BSC)
        return (out, x_BSC) if residual_BSC is None else out


class Linear(nn.Linear):
    """``nn.Linear`` by the backend's op."""

    def __init__(self, inputs: int, outputs: int, ops: ModuleType, bias: bool = True):
        super().__init__(inputs, outputs, bias)
        self.ops = ops

    def forward(self, x: Tensor) -> Tensor:
        return self.ops.linear(x, self.weight, self.bias)


class Attention(nn.Module):
    """Self-attention of the stream; queries, keys and values by one product."""

    def __init__(self, config: BlockConfig, ops: ModuleType):
        super().__init__()
        self.config, self.ops = config, ops
        self.qkv = Linear(config.width, (config.heads + 2 * config.kv_heads) * config.head_size, ops, config.bias)
        self.project = Linear(config.width, config.width, ops, config.bias)

    def forward(self, x_BSC: Tensor, context: Context, cache: LayerCache | None) -> Tensor:
        config = self.config
        q, k, v = (
            split_heads(part, config.head_size)
            for part in self.qkv(x_BSC).split(
                [config.width, config.kv_heads * config.head_size, config.kv_heads * config.head_size], dim=-1
            )
        )
        if context.rotation is not None:
            q, k = rotate(q, *context.rotation), rotate(k, *context.rotation)
        causal, key_lengths = config.causal, context.key_lengths
        if cache is not None:
            k, v, causal, key_lengths = cache.extend(k, v)
        if context.documents is not None and cache is None:
            parts = zip(*(context.documents.split(part) for part in (q, k, v)), strict=True)
            out = context.documents.join([self.ops.attention(*part, causal=causal) for part in parts], len(q))
        else:
            out = self.ops.attention(q, k, v, causal=causal, key_lengths=key_lengths)
        return self.project(merge_heads(out))


class CrossAttention(nn.Module):
    """Attention of the stream to an encoder's output."""

    def __init__(self, config: BlockConfig, ops: ModuleType):
        super().__init__()
        self.config, self.ops = config, ops
        self.query = Linear(config.width, config.width, ops, config.bias)
        self.kv = Linear(config.width, 2 * config.kv_heads * config.head_size, ops, config.bias)
        self.project = Linear(config.width, config.width, ops, config.bias)

    def forward(self, x_BSC: Tensor, context: Context, cache: LayerCache | None) -> Tensor:
        if cache is not None and cache.memory is not None:
            k, v = cache.memory
        else:
            k, v = (split_heads(part, self.config.head_size) for part in self.kv(context.memory).chunk(2, dim=-1))
            if cache is not None:
                cache.memory = k, v
        q = split_heads(self.query(x_BSC), self.config.head_size)
        return self.project(merge_heads(self.ops.attention(q, k, v, key_lengths=context.memory_lengths)))


class MLP(nn.Module):
    """Two products with an activation between them, or SwiGLU's three."""

    def __init__(self, config: BlockConfig, ops: ModuleType):
        super().__init__()
        self.kind, self.ops = config.mlp, ops
        if self.kind == "swiglu":
            self.gate = nn.Linear(config.width, config.hidden, bias=False)
        bias = config.bias and self.kind != "swiglu"
        self.up = nn.Linear(config.width, config.hidden, bias=bias)
        self.down = nn.Linear(config.hidden, config.width, bias=bias)

    def forward(self, x_BSC: Tensor, context: Context, cache: LayerCache | None) -> Tensor:
        up, down = self.up, self.down
        if self.kind == "swiglu":
            return self.ops.gated_mlp(x_BSC, self.gate.weight, up.weight, down.weight)
        return self.ops.mlp(x_BSC, up.weight, up.bias, down.weight, down.bias, activation=self.kind)


class Block(nn.Module):
    """Self-attention, attention to an encoder where there is one, MLP; each with its norm."""

    def __init__(self, config: BlockConfig, ops: ModuleType):
        super().__init__()
        self.post_norm = config.post_norm
        self.checkpointing = False  # in training keep what goes in only, and compute the rest again in the backward
        self.norm1 = Norm(config, ops)
        self.attention = Attention(config, ops)
        if config.cross:
            self.norm_cross = Norm(config, ops)
            self.cross = CrossAttention(config, ops)
        self.norm2 = Norm(config, ops)
        self.mlp = MLP(config, ops)

    def forward(
        self, x_BSC: Tensor, branch_BSC: Tensor | None, context: Context, cache: LayerCache | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Take the residual stream and what is still to be added to it (so that the addition can be part of the next norm);
        return the same two.
        """
        if self.checkpointing and torch.is_grad_enabled():
            # Nothing in a block draws from a random generator, whose state so need not be kept.
            return checkpoint(
                self._layers, x_BSC, branch_BSC, context, cache, use_reentrant=False, preserve_rng_state=False
            )
        return self._layers(x_BSC, branch_BSC, context, cache)

    def _layers(
        self, x_BSC: Tensor, branch_BSC: Tensor | None, context: Context, cache: LayerCache | None
    ) -> tuple[Tensor, Tensor | None]:
        layers = [(self.norm1, self.attention)]
        if hasattr(self, "cross"):
            layers.append((self.norm_cross, self.cross))
        layers.append((self.norm2, self.mlp))
        for norm, layer in layers:
            if self.post_norm:
                x_BSC, _ = norm(layer(x_BSC, context, cache), x_BSC)
            else:
                h, x_BSC = norm(x_BSC) if branch_BSC is None else norm(branch_BSC, x_BSC)
                branch_BSC = layer(h, context, cache)
        return x_BSC, branch_BSC


def blocks_of(model: nn.Module) -> list[Block]:
    """Return a model's blocks, none where its family has none."""
    return [module for module in model.modules() if isinstance(module, Block)]


class Stack(nn.Module):
    """Blocks one after the other; pre-norm ones end in a norm of their own."""

    def __init__(self, config: BlockConfig, depth: int, ops: ModuleType):
        super().__init__()
        if depth < 1:
            raise InputError(f"depth is {depth}, expected 1 or more")
        self.config = config
        self.blocks = nn.ModuleList(Block(config, ops) for _ in range(depth))
        self.norm = None if config.post_norm else Norm(config, ops)

    def forward(self, x_BSC: Tensor, context: Context, caches: list[LayerCache] | None = None) -> Tensor:
        branch_BSC = None
        for i, block in enumerate(self.blocks):
            x_BSC, branch_BSC = block(x_BSC, branch_BSC, context, None if caches is None else caches[i])
        return x_BSC if self.norm is None else self.norm(branch_BSC, x_BSC)[0]


def initialise(model: nn.Module, std: float | None = INIT_STD) -> None:
    """Draw all weights from a normal law of this standard deviation, None: 1 / root of a layer's inputs (LeCun et al. 1998); biases
    are zero. In pre-norm stacks the layers that add to the residual stream are drawn smaller by the root of their number: the
    stream's variance does not grow with depth (Radford et al. 2019).
    """

    def draw(layer: nn.Linear, share: float = 1.0) -> None:
        nn.init.normal_(layer.weight, std=share * (std or layer.in_features**-0.5))

    for module in model.modules():
        if isinstance(module, nn.Linear):
            draw(module)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=INIT_STD)
    for stack in (module for module in model.modules() if isinstance(module, Stack)):
        if stack.config.post_norm:
            continue
        writers = [
            layer
            for block in stack.blocks
            for layer in (
                block.attention.project,
                block.mlp.down,
                *([block.cross.project] if stack.config.cross else []),
            )
        ]
        for layer in writers:
            draw(layer, len(writers) ** -0.5)


def split_heads(x_BSC: Tensor, head_size: int) -> Tensor:
    """Return (B, H, S, D)."""
    return x_BSC.unflatten(-1, (-1, head_size)).transpose(1, 2)


def merge_heads(x_BHSD: Tensor) -> Tensor:
    """Return (B, S, C)."""
    return x_BHSD.transpose(1, 2).flatten(-2)


def rotation(positions: Tensor, head_size: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Return cos and sin of rotary positions (S,) or (B, S): (S, D) or (B, 1, S, D)."""
    frequencies = base ** (-torch.arange(0, head_size, 2, dtype=torch.float32, device=positions.device) / head_size)
    angles = positions.to(torch.float32)[..., None] * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    if positions.dim() == 2:
        angles = angles[:, None]
    return angles.cos(), angles.sin()


def rotate(x_BHSD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + D/2) of a head by its position's angle: the layout that Llama's weights have."""
    first, second = x_BHSD.float().chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return (x_BHSD.float() * cos + turned * sin).to(x_BHSD.dtype)


def sinusoidal_positions(positions: Tensor, width: int) -> Tensor:
    """Return (..., width) the fixed position vectors of Vaswani et al. 2017, section 3.5: sines, then cosines."""
    count = -(-width // 2)
    frequencies = 10_000.0 ** (-torch.arange(count, dtype=torch.float32, device=positions.device) / max(1, count))
    angles = positions.to(torch.float32)[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[..., :width]
