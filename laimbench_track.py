"""What ``laimbench track A B`` compares of this repository: every fused op beside stock PyTorch, and a tiny ladder of GPTs.

Of both commits only this is needed: ``laimbench.ops``, ``RunConfig.from_dict`` and ``Trainer``.
"""

import torch
import torch.nn.functional as F

from laimbench import ops
from laimbench.train import RunConfig, Trainer

SIZES = [1, 2, 3]
QUICK_SIZES = [1, 2]
SAMPLED = 64  # elements of each tensor that have to agree


def tensors(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(shape, generator=generator) * 0.1).requires_grad_() for shape in shapes]


def forward_and_backward(function, inputs):
    gradient = torch.ones_like(function(*inputs))

    def call():
        torch.autograd.grad(function(*inputs), inputs, gradient)

    return call


def speed_attention():
    qkv = tensors(*[(2, 4, 256, 64)] * 3)
    return {"ours": forward_and_backward(lambda q, k, v: ops.attention(q, k, v, causal=True), qkv),
            "stock": forward_and_backward(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), qkv)}  # fmt: skip


def speed_mlp():
    inputs = tensors((1024, 128), (512, 128), (512,), (128, 512), (128,))
    return {"ours": forward_and_backward(ops.mlp, inputs),
            "stock": forward_and_backward(lambda x, w1, b1, w2, b2: F.linear(F.gelu(F.linear(x, w1, b1)), w2, b2), inputs)}  # fmt: skip


def speed_layer_norm():
    inputs = tensors((4096, 256), (256,), (256,))
    return {"ours": forward_and_backward(ops.layer_norm, inputs),
            "stock": forward_and_backward(lambda x, w, b: F.layer_norm(x, w.shape, w, b), inputs)}  # fmt: skip


def speed_linear_cross_entropy():
    inputs = tensors((1024, 128), (1024, 128))
    target = torch.arange(1024)
    return {"ours": forward_and_backward(lambda x, w: ops.linear_cross_entropy(x, w, target), inputs),
            "stock": forward_and_backward(lambda x, w: F.cross_entropy(F.linear(x, w), target), inputs)}  # fmt: skip


def speed_gpt_step():
    torch.manual_seed(0)
    trainers = [Trainer(gpt(size=2, seed=0, backend=backend)) for backend in ("laim", "torch")]
    steps = [step_of(trainer) for trainer in trainers]
    return dict(zip(("ours", "stock"), steps, strict=True))


def step_of(trainer):
    def step():
        trainer.step = 0  # always the same batch, however often it is called
        trainer.train_step()

    return step


def gpt(size: int, seed: int, backend: str = "laim") -> RunConfig:
    return RunConfig.from_dict({
        "family": "gpt", "backend": backend, "width": 32 * size, "depth": size, "heads": size, "vocab_size": 512, "seqlen": 128,
        "batch_size": 8, "tokens": 2**16 * 2**size, "seed": seed, "evals": 4,
    })  # fmt: skip


def learn_gpt(size: int, seed: int):
    """Train one GPT; send what has to agree at its start, then its evaluations."""
    trainer = Trainer(gpt(size, seed))
    model, task = trainer.model, trainer.task
    yield {"numbers": {f"batch: step {step}": task.batch(step)[0].flatten()[:SAMPLED].tolist()
                       for step in (0, 1, trainer.total_steps - 1)}}  # fmt: skip
    state = torch.get_rng_state()
    loss = model(*task.batch(0))
    loss.backward()
    gradients = {f"gradient: {name}": sample(p.grad) for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    torch.set_rng_state(state)
    yield {"numbers": {"initial weights: all": [w for p in model.parameters() for w in sample(p.detach())]}}
    yield {"numbers": {"loss: step 0": loss.item()}}
    yield {"numbers": gradients}
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.dim() >= 2}
    checked = False
    while not trainer.finished:
        if trainer.step == 0 and not checked:
            checked = True
            evaluation = trainer.advance()
            trainer.train_step()
            # Vectors are left out: Adam's first step is the sign of a gradient, and that of a key's bias is rounding alone.
            yield {"numbers": {f"first update: {name}": sample(p.detach() - before[name])
                               for name, p in model.named_parameters() if name in before}}  # fmt: skip
        evaluation = trainer.advance()
        yield {"flops": evaluation.flops, "loss": evaluation.val_loss}


def sample(tensor: torch.Tensor) -> list[float]:
    """Elements from all over the tensor: with the odd stride they fall on all rows and columns."""
    flat = tensor.detach().flatten()
    return flat[:: max(1, flat.numel() // SAMPLED) | 1][:SAMPLED].tolist()
