"""Memory of training a shape with AdamW and data parallelism, term by term, in bytes per device.

Weights, gradients, optimiser: Rajbhandari et al. 2020 (ZeRO, arXiv:1910.02054), section 3.1: 2 + 2 + 12 bytes per parameter in
bf16 with a master copy in fp32, 4 + 4 + 8 in fp32; stage 1 shards the optimiser over the devices, 2 the gradients too, 3 the
weights too. Activations: Korthikanti et al. 2022 (arXiv:2205.05198), section 4, without dropout and without the matrix of
attention scores, which a fused attention never stores: for the gpt architecture 32 bytes x S x C per sequence and block in bf16.

Not counted: the allocator's fragmentation, communication buffers, CUDA context (together often 1-3 GiB), the data.
"""

from dataclasses import dataclass
from typing import Any

from laimbench.errors import InputError
from laimbench.laws.planning.shapes import Shape

PRECISIONS = ("bf16", "fp32")
ZERO_STAGES = (0, 1, 2, 3)


@dataclass(frozen=True)
class Memory:
    """Bytes per device, by term."""

    terms: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.terms.values())

    def to_dict(self) -> dict[str, Any]:
        return {"terms": self.terms, "total": self.total}


def training_memory(
    shape: Shape,
    *,
    micro_batch: int = 1,
    devices: int = 1,
    zero_stage: int = 0,
    precision: str = "bf16",
    checkpointing: bool = False,
    fused_loss: bool = True,
) -> Memory:
    """Return the peak memory of a training step.

    Args:
        shape: the model.
        micro_batch: sequences per device at once.
        devices: over which the ZeRO stage shards.
        zero_stage: 0 nothing is sharded, 1 optimiser, 2 and gradients, 3 and weights (FSDP's full shard).
        precision: "bf16" with fp32 master weights, or "fp32".
        checkpointing: keep only the input of each block and recompute the rest, one block at a time.
        fused_loss: the (tokens, vocabulary) logits are never held, as with ``ops.linear_cross_entropy``; without it the
            logits in the precision, their fp32 copy and its gradient are.

    Raises:
        InputError: naming the argument that is wrong.
    """
    for name, value in (("micro_batch", micro_batch), ("devices", devices)):
        if value < 1:
            raise InputError(f"{name} is {value}, expected 1 or more")
    for name, value, choices in (("zero_stage", zero_stage, ZERO_STAGES), ("precision", precision, PRECISIONS)):
        if value not in choices:
            raise InputError(f"{name} is {value!r}, expected one of {', '.join(map(str, choices))}")
    element = 2 if precision == "bf16" else 4
    shard = [devices if zero_stage >= stage else 1 for stage in (1, 2, 3)]
    tokens = micro_batch * shape.seqlen
    block = block_activations(shape, element) * tokens
    if checkpointing:
        activations = {
            "block inputs": float(shape.depth * shape.width * element * tokens),
            "one block again": float(block),
        }
    else:
        activations = {"activations": float(shape.depth * block)}
    # around the blocks: the sum of embeddings, and the final norm's input and output
    activations["activations outside blocks"] = float(3 * shape.width * element * tokens)
    logits = 0.0 if fused_loss else float((element + 4 + 4) * shape.vocab_size * tokens)
    master = {"master weights": 4.0 * shape.params / shard[0]} if precision == "bf16" else {}
    return Memory({
        "weights": element * shape.params / shard[2],
        "gradients": element * shape.params / shard[1],
        **master,
        "AdamW moments": 8.0 * shape.params / shard[0],
        **activations,
        "logits": logits,
    })  # fmt: skip


def block_activations(shape: Shape, element: int = 2) -> int:
    """Return the bytes per token that one block keeps for its backward.

    Inputs of both norms, of the products behind them and of the attention's output product: 5 C; queries, keys, values:
    C + 2 K; MLP: before and after the activation, 2 F; gated: gate, up, activated gate and their product, 4 F. The softmax
    statistics of the attention: 4 bytes per head.
    """
    hidden = (2 if shape.architecture == "gpt" else 4) * shape.hidden
    return element * (6 * shape.width + 2 * shape.kv_width + hidden) + 4 * shape.heads
