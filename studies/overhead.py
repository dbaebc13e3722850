"""What does a step cost under the harness over a bare training loop, and what does keeping states cost?

Run by ``make study-overhead`` (QUICK=1: a few steps). Steps: the same GPT twice in one process, once trained as a sweep does it (``Trainer``, with
its ``Keeper`` asked after every step) and once by the loop that one would write by hand: a batch cut out of the tokens, the schedule, forward,
backward, clipping, AdamW, the loss read. They take blocks of steps in turn, first A B B A, then B A A B, and are
built anew again and again, either first: where a model's memory lies makes some per cent. States: a run with states at
the default interval, and the share of its training time that writing them took.
"""

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from study_result import command_line, save

from laimbench.bench.timing import median_interval
from laimbench.train import Keeper, RunConfig, Trainer

BASE = {
    "family": "gpt",
    "data": "builtin:python",
    "vocab_size": 512,
    "tokens": 10**9,
    "evals": 2,
    "seqlen": 64,
    "eval_tokens": 256,
}
STEPS = {  # sizes whose steps take from a few to some hundred ms on two cores
    "64 x 2": {"width": 64, "depth": 2, "batch_size": 4},
    "128 x 4": {"width": 128, "depth": 4, "batch_size": 4},
    "256 x 4": {"width": 256, "depth": 4, "batch_size": 8},
    "384 x 6": {"width": 384, "depth": 6, "batch_size": 8},
}
STATES = {"256 x 4": STEPS["256 x 4"], "512 x 8": {"width": 512, "depth": 8, "batch_size": 4}}
BLOCK_S, QUADS, PREPARATIONS, TRAIN_S = 0.25, 4, 12, 120.0
QUICK_BLOCK_S, QUICK_QUADS, QUICK_PREPARATIONS, QUICK_TRAIN_S = 0.05, 1, 2, 2.0


def harness(config: RunConfig, folder: Path) -> Callable[[], None]:
    """Return a step as a sweep takes it."""
    trainer = Trainer(config)
    keeper = Keeper(
        folder, trainer, every_s=float("inf")
    )  # asked after every step; what writing costs is a figure of its own
    trainer.on_step = keeper.after_step

    def step() -> None:
        trainer.train_step()
        trainer.on_step()

    return step


def bare(config: RunConfig, tokens: np.ndarray) -> Callable[[], None]:
    """Return a step of a loop written by hand."""
    trainer = Trainer(config)  # for its model and its optimizer, as they were made
    model, optimizer = trainer.model, trainer.optimizer
    generator, number = np.random.default_rng(0), itertools.count()
    rate, warmup, total, length = (
        config.learning_rate,
        max(1, config.total_steps // 100),
        config.total_steps,
        config.seqlen,
    )

    def step() -> None:
        at = generator.integers(0, len(tokens) - length - 1, config.batch_size)
        x = torch.stack([torch.from_numpy(tokens[i : i + length].astype(np.int64)) for i in at])
        y = torch.stack([torch.from_numpy(tokens[i + 1 : i + 1 + length].astype(np.int64)) for i in at])
        done = next(number)
        factor = min(1.0, (done + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * done / total))
        for group in optimizer.param_groups:
            group["lr"] = rate * factor
        loss = model(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return step


def block(step: Callable[[], None], seconds: float) -> float:
    """Take steps for this long; return how long one took."""
    started, steps = time.perf_counter(), 0
    while (spent := time.perf_counter() - started) < seconds:
        step()
        steps += 1
    return spent / steps


def step_overhead(shape: dict[str, int], folder: Path, quick: bool) -> dict[str, Any]:
    """Return the median over preparations of the median ratio of quads of blocks, with its interval, and what a bare step took."""
    config = RunConfig.from_dict({**BASE, **shape})
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, 10**6).astype(np.uint16)
    quads, preparations, seconds = (
        (QUICK_QUADS, QUICK_PREPARATIONS, QUICK_BLOCK_S) if quick else (QUADS, PREPARATIONS, BLOCK_S)
    )
    makers = (lambda: bare(config, tokens)), (lambda: harness(config, folder))
    ratios, bare_s = [], []
    for preparation in range(preparations):
        first = preparation % 2
        sides = {side: makers[side]() for side in (first, 1 - first)}
        own = []
        for quad in range(quads):
            spent: tuple[list[float], list[float]] = ([], [])
            for side in (0, 1, 1, 0) if quad % 2 == 0 else (1, 0, 0, 1):
                spent[side].append(block(sides[side], seconds))
            bare_s += spent[0]
            own.append(sum(spent[1]) / sum(spent[0]))
        ratios.append(statistics.median(own))
    return {
        "bare_step_ms": 1e3 * statistics.median(bare_s),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "interval": median_interval(ratios),
    }


def state_overhead(shape: dict[str, int], folder: Path, train_s: float) -> dict[str, Any]:
    """Return the share of a run's training time that writing its states took."""
    trainer = Trainer(RunConfig.from_dict({**BASE, **shape}))
    keeper = Keeper(folder, trainer)
    while trainer.train_seconds < train_s:
        trainer.train_step()
        keeper.after_step()
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return {
        "params": trainer.params,
        "kept_bytes": size,
        "train_s": trainer.train_seconds,
        "share": keeper.spent_s / trainer.train_seconds,
    }


def run(quick: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"threads": torch.get_num_threads(), "steps": {}, "states": {}}
    with tempfile.TemporaryDirectory() as name:
        for size, shape in list(STEPS.items())[: 1 if quick else None]:
            result["steps"][size] = found = step_overhead(shape, Path(name) / "steps" / size, quick)
            print(
                "{0}: a bare step {bare_step_ms:.1f} ms, under the harness {ratio:.3f} times that {interval}".format(
                    size, **found
                ),
                flush=True,
            )
        for size, shape in list(STATES.items())[: 1 if quick else None]:
            result["states"][size] = found = state_overhead(
                shape, Path(name) / "states" / size, QUICK_TRAIN_S if quick else TRAIN_S
            )
            print(f"{size}: writing states took {found['share']:.1%} of {found['train_s']:.0f} s in steps", flush=True)
    return result


if __name__ == "__main__":
    options = command_line(__doc__).parse_args()
    save("overhead", run(options.quick), None, options.quick)
