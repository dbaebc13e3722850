"""Configurations that can be built near a wanted size.

Width a multiple of the head size, 64 or 128; width over depth between 32 and 160, within which loss hardly depends on it
(Kaplan et al. 2020, arXiv:2001.08361, figure 5: a few percent at most, far outside); vocabulary a multiple of 128. Each
candidate's tokens follow from the budget and its own exact FLOPs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from laimbench.errors import InputError, require_at_least_one
from laimbench.laws.planning.law import LEVEL, Estimate, Law
from laimbench.laws.planning.shapes import ARCHITECTURES, Shape, hidden_width, padded_vocabulary

HEAD_SIZES = (64, 128)
ASPECTS = (32.0, 160.0)
NEAR = math.log(1.5)  # candidates are within this factor of the size wanted, where there are any
MAX_WIDTH = 2**17
ROUND_WIDTH = 0.015  # of the size, for each doubling of the multiple of which the width is one, up to 512


@dataclass(frozen=True)
class Architecture:
    """What all candidates share.

    vocab_size is rounded up to a multiple of 128; kv_ratio: query heads per head of keys and values (1: no grouping);
    counted: which parameters the law's N means, "total" or "non_embedding".
    """

    kind: str = "gpt"
    vocab_size: int = 50304
    seqlen: int = 1024
    tied: bool = True
    kv_ratio: int = 1
    counted: str = "total"

    def __post_init__(self):
        if self.kind not in ARCHITECTURES:
            raise InputError(f"architecture is {self.kind!r}, expected one of {', '.join(ARCHITECTURES)}")
        require_at_least_one(self, "vocab_size", "seqlen", "kv_ratio")
        if self.kind == "gpt" and self.kv_ratio != 1:
            raise InputError(
                f"kv_ratio is {self.kv_ratio} with architecture gpt, which has no grouped queries; expected 1"
            )

    def shape(self, width: int, depth: int, head_size: int) -> Shape:
        heads = width // head_size
        return Shape(self.kind, padded_vocabulary(self.vocab_size), self.seqlen, width, depth, heads,
                     heads // self.kv_ratio, hidden_width(self.kind, width), self.tied)  # fmt: skip


GPT2 = Architecture()


@dataclass(frozen=True)
class Candidate:
    """A buildable model with its tokens, training FLOPs (exact), batch, steps, and expected loss in nats.

    distance: its size over the size wanted; batch_tokens: tokens per step, whole sequences; total_flops: training and serving.
    """

    shape: Shape
    tokens: float
    training_flops: float
    total_flops: float
    loss: Estimate
    distance: float
    batch_tokens: int
    steps: int

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "shape": self.shape.to_dict(), "loss": self.loss.to_dict()}


def shapes_near(params: float, architecture: Architecture = GPT2) -> list[Shape]:
    """Return the shapes nearest to ``params``: for each width and head size the best depth, all within a factor of 1.5.

    Raises:
        InputError: the smallest or the largest shape is farther away than that, or no shape comes near.
    """
    found: dict[tuple[int, int], Shape] = {}
    for head_size in HEAD_SIZES:
        step = head_size * architecture.kv_ratio  # whole groups of heads
        width = step
        while width <= MAX_WIDTH:
            depths = range(max(1, math.ceil(width / ASPECTS[1])), int(width / ASPECTS[0]) + 1)
            if depths:
                shape = _nearest_depth(params, architecture, width, depths, head_size)
                known = found.get((width, shape.depth))
                if known is None or known.head_size < head_size:
                    found[width, shape.depth] = shape
                if architecture.shape(width, depths[0], head_size).counted(architecture.counted) > 4 * params:
                    break
            # no finer than about 3 %, so that large widths are multiples of large powers of two
            finest = math.lcm(step, 2 ** max(int(math.log2(width / 32)), 0), 128 if width >= 1024 else 1)
            width = (width // finest + 1) * finest
    if not found:
        raise InputError(
            f"kv_ratio is {architecture.kv_ratio}: no width up to {MAX_WIDTH} holds a whole group of heads"
        )
    sizes = [shape.counted(architecture.counted) for shape in found.values()]
    near = [shape for shape, size in zip(found.values(), sizes, strict=True) if abs(math.log(size / params)) <= NEAR]
    if not near:
        nearest = min(sizes, key=lambda size: abs(math.log(size / params)))
        where = (
            "smaller than the smallest"
            if params < min(sizes)
            else "larger than the largest"
            if params > max(sizes)
            else "between"
        )
        raise InputError(
            f"{params:.4g} parameters are {where} buildable models, the nearest has {nearest:.4g} with a vocabulary of "
            f"{padded_vocabulary(architecture.vocab_size)}; change the budget or --vocab-size"
        )
    return near


def candidates(
    law: Law,
    params: float,
    tokens_of: Callable[[Shape], float],
    architecture: Architecture = GPT2,
    *,
    served_tokens: float = 0.0,
    devices: int = 1,
    limit: int = 6,
    level: float = LEVEL,
) -> list[Candidate]:
    """Return up to ``limit`` buildable models near ``params``, the best first: least total FLOPs if any tokens are served, else
    least expected loss. Losses that differ by less than their interval are equally good: choose by what the hardware likes.

    Args:
        law: in params and tokens, from which the loss is expected.
        params: the size wanted, as the law counts it.
        tokens_of: the training tokens of a shape: from a budget, or from a loss.
        architecture: what all candidates share.
        served_tokens: over the model's life, at 2 N FLOPs each.
        devices: the batch is a multiple of so many sequences.
        limit: how many.
        level: of the interval.
    """
    found = []
    for shape in shapes_near(params, architecture):
        tokens, size = tokens_of(shape), shape.counted(architecture.counted)
        if not (math.isfinite(tokens) and tokens >= shape.seqlen):
            continue
        training = shape.training_flops_per_token * tokens
        batch = suggested_batch_tokens(training, tokens, shape.seqlen, devices)
        found.append(Candidate(
            shape, float(tokens), float(training), float(training + 2.0 * shape.params * served_tokens),
            Estimate.of(law.predict(size, tokens)[0], law.draws(size, tokens)[:, 0], level),
            size / params, batch, max(1, round(tokens / batch)),
        ))  # fmt: skip
    if not found:
        raise InputError(f"no buildable model near {params:.4g} parameters gets a sequence of tokens from this budget")
    key = (lambda c: c.total_flops) if served_tokens else (lambda c: c.loss.value)
    # the range of aspects in equal parts, and of each part the model nearest to the size wanted
    low, high = (math.log(end) for end in ASPECTS)
    best: dict[int, Candidate] = {}
    for candidate in found:
        part = min(int((math.log(candidate.shape.aspect) - low) / (high - low) * limit), limit - 1)
        if part not in best or _unfitness(candidate) < _unfitness(best[part]):
            best[part] = candidate
    return sorted(best.values(), key=key)


def suggested_batch_tokens(flops: float, tokens: float, seqlen: int, devices: int = 1) -> int:
    """Return tokens per step: 0.292 C^0.3271, whole sequences on every device, at least 100 steps where tokens allow it.

    Source: DeepSeek-AI 2024 (arXiv:2401.02954), section 3.1, fitted between 1e17 and 2e19 FLOPs: a start, not an optimum for
    other data.
    """
    unit = seqlen * devices
    wanted = min(0.292 * flops**0.3271, tokens / 100)
    return max(1, round(wanted / unit)) * unit


def _unfitness(candidate: Candidate) -> float:
    """Return the distance from the size wanted, in logs; a width that halves into more whole tiles is worth a little of it."""
    halvings = next((k for k, multiple in enumerate((512, 256, 128)) if candidate.shape.width % multiple == 0), 3)
    return abs(math.log(candidate.distance)) + ROUND_WIDTH * halvings


def _nearest_depth(params: float, architecture: Architecture, width: int, depths: range, head_size: int) -> Shape:
    """Return the shape of this width nearest to params; its parameters are a straight line in depth."""
    one, two = (architecture.shape(width, depth, head_size).counted(architecture.counted) for depth in (1, 2))
    exact = 1 + (params - one) / (two - one)
    tried = np.clip([math.floor(exact), math.ceil(exact)], depths[0], depths[-1]).astype(int)
    shapes = [architecture.shape(width, int(depth), head_size) for depth in tried]
    return min(shapes, key=lambda shape: abs(math.log(shape.counted(architecture.counted) / params)))
