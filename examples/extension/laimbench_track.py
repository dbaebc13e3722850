"""What ``laimbench track`` compares of this extension: its speed beside stock's, and how a small model learns with it."""

import torch
import torch.nn.functional as F
from swiglu import swiglu
from torch import nn

SIZES = [1, 2, 3]
QUICK_SIZES = [1, 2]


def speed_swiglu():
    a, b = (torch.randn(512, 1024).requires_grad_() for _ in range(2))
    gradient = torch.ones(512, 1024)
    return {
        "ours": lambda: torch.autograd.grad(swiglu(a, b), (a, b), gradient),
        "stock": lambda: torch.autograd.grad(F.silu(a) * b, (a, b), gradient),
    }


class Model(nn.Module):
    """The next of 32 symbols from the four before it."""

    def __init__(self, width: int):
        super().__init__()
        self.symbols = nn.Embedding(32, 16)
        self.gate, self.up, self.down = nn.Linear(64, width), nn.Linear(64, width), nn.Linear(width, 32)

    def forward(self, context, target):
        x = self.symbols(context).flatten(1)
        return F.cross_entropy(self.down(swiglu(self.gate(x), self.up(x))), target)


def windows(seed: int, count: int):
    """Each of the four symbols before a symbol makes some of the 32 more likely: what it says is a table, the same for all seeds."""
    tables = torch.randn(4, 32, 32, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    context = torch.randint(0, 32, (count, 4), generator=generator)
    likely = tables[torch.arange(4), context].sum(1).softmax(1)
    return context, torch.multinomial(likely, 1, generator=generator).flatten()


def learn_symbols(size: int, seed: int):
    torch.manual_seed(seed)
    width, steps = 32 * size, 150 * size
    model = Model(width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    context, target = windows(1000 + seed, 64 * steps)
    held_out = windows(7, 4096)
    flops = 6 * 64 * sum(p.numel() for p in model.parameters())
    for step in range(steps):
        batch = slice(64 * step, 64 * (step + 1))
        loss = model(context[batch], target[batch])
        loss.backward()
        if step == 0:  # what has to agree between two commits, but for rounding
            yield {"numbers": {"loss: first": loss.item()}}
            yield {
                "numbers": {f"gradient: {name}": p.grad.flatten()[:64].tolist() for name, p in model.named_parameters()}
            }
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        yield {"flops": float(flops * steps), "loss": model(*held_out).item()}
