"""What ``laimbench track A B`` compares of this repository: every fused op beside stock PyTorch, and a tiny ladder of GPTs.

Of both commits only this is needed: ``laimbench.ops``, ``RunConfig.from_dict`` and ``Trainer``.
"""

from contextlib import contextmanager

import torch
import torch.nn.functional as F

from laimbench import ops
from laimbench.train import RunConfig, Trainer

SIZES = [1, 2, 3]
QUICK_SIZES = [1, 2]
SAMPLED = 64  # elements of each tensor that have to agree
# Fresh weights are so small that activations are almost linear and attention almost even: modules are compared with larger ones too.
LOUDER = 8.0
LATER = 12  # steps after which the loss is compared: what an optimizer does from the second step on is in it


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


def gpt(size: int, seed: int, backend: str = "laim", tokens: int = 2**17) -> RunConfig:
    return RunConfig.from_dict({
        "family": "gpt", "backend": backend, "width": 32 * size, "depth": size, "heads": size, "vocab_size": 512, "seqlen": 128,
        "batch_size": 8, "tokens": tokens * 2 ** (size - 1), "seed": seed, "evals": 4,
    })  # fmt: skip


def learn_gpt(size: int, seed: int):
    yield from learn_with(size, seed)


def learn_with(size: int, seed: int, **options):
    """Train one GPT; send what has to agree at its start, then its evaluations."""
    trainer = Trainer(gpt(size, seed, **options))
    model, task = trainer.model, trainer.task
    yield {"numbers": {f"batch: {part} of step {step}": tensor.flatten()[:SAMPLED].tolist()
                       for step in (0, 1, trainer.total_steps - 1)
                       for part, tensor in zip(("tokens", "targets"), task.batch(step), strict=True)}}  # fmt: skip
    yield {"numbers": {"initial weights: all": [w for p in model.parameters() for w in sample(p)]}}
    state = torch.get_rng_state()
    with scaled(model, LOUDER), outputs_of(model) as outputs, torch.no_grad():
        model(*task.batch(0))
    yield {"numbers": outputs}
    loss = model(*task.batch(0))
    yield {"numbers": {"loss: step 0": loss.item()}}
    loss.backward()
    yield {"numbers": {f"gradient: {name}": sample(p.grad) for name, p in model.named_parameters()}}
    model.zero_grad(set_to_none=True)
    torch.set_rng_state(state)
    # Vectors are left out: Adam's first step is the sign of a gradient, and that of a key's bias is rounding alone.
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.dim() >= 2}
    trainer.advance()  # evaluates before the first step
    trainer.train_step()
    yield {
        "numbers": {
            f"first update: {name}": sample(p - before[name]) for name, p in model.named_parameters() if name in before
        }
    }
    while trainer.step < LATER:
        later = trainer.train_step()
    yield {"numbers": {f"loss after: {LATER} steps": float(later)}}
    while not trainer.finished:
        evaluation = trainer.advance()
        yield {"flops": evaluation.flops, "loss": evaluation.val_loss}


@contextmanager
def scaled(model, factor):
    """Have all matrices this many times as large."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    with torch.no_grad():
        kept = [p.clone() for p in matrices]
        torch._foreach_mul_(matrices, factor)
        yield
        for p, before in zip(matrices, kept, strict=True):
            p.copy_(before)


@contextmanager
def outputs_of(model):
    """Yield a dict that gets a sample of what every module returns: a mistake may be seen there when the loss has averaged it away."""
    found = {}

    def keep(name):
        def hook(_module, _inputs, result):
            first = result[0] if isinstance(result, tuple) else result
            if isinstance(first, torch.Tensor) and first.is_floating_point():
                found[f"output: {name}"] = sample(first)

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in model.named_modules() if name]
    yield found
    for hook in hooks:
        hook.remove()


def sample(tensor: torch.Tensor) -> list[float]:
    """Elements from all over the tensor: with the odd stride they fall on all rows and columns."""
    flat = tensor.detach().flatten()
    return flat[:: max(1, flat.numel() // SAMPLED) | 1][:SAMPLED].tolist()
