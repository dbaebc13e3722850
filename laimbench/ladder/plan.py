"""What a ladder will cost, before it is run."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from laimbench.ladder.config import Ladder
from laimbench.train import Described, RunConfig, Trainer, content_of, describe
from laimbench.train.config import ADDED_LATER, TRAINING_VERSION
from laimbench.train.device import memories

MEASURED_STEPS = 5
TRAINING_BYTES = 16  # per parameter: weight, gradient and Adam's two moments, 4 bytes each
DEFAULTS = vars(RunConfig())
USABLE_MEMORY = 0.7  # the rest is for activations and everything else


def run_key(config: RunConfig) -> str:
    """Return the identity of a run: the hash of everything that decides it, contents of its files included.

    Raises:
        InputError: its data cannot be read.
    """
    values = {name: value for name, value in vars(config).items() if name not in ADDED_LATER or value != DEFAULTS[name]}
    values |= {"content": content} if (content := content_of(config)) else {}
    values |= {"training": TRAINING_VERSION} if TRAINING_VERSION > 1 else {}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class RunPlan:
    """One run of a ladder with its cost; seconds are None when nothing was measured."""

    config: RunConfig
    params: int
    params_non_embedding: int
    tokens: int
    flops: float
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "size": self.config.size}


def plan_ladder(ladder: Ladder, *, measure: bool) -> Iterable[RunPlan]:
    """Yield the plan of every run.

    Each model is described once per size and backend, without memory for its weights; with ``measure`` a few training steps
    of it are timed here where it fits into this machine, and the run's seconds follow from them (training only:
    evaluations and compilation come on top).
    """
    known: dict[tuple, tuple[Described, float | None]] = {}
    for config in ladder.runs:
        shape = tuple(value for name, value in config.to_dict().items() if name not in ("tokens", "seed"))
        if shape not in known:
            facts = describe(config)
            fits = measure and facts.params * TRAINING_BYTES < min(memories(config.device)) * USABLE_MEMORY
            known[shape] = facts, _seconds_per_step(Trainer(config)) if fits else None
        facts, step_s = known[shape]
        steps = config.total_steps
        yield RunPlan(
            config=config,
            params=facts.params,
            params_non_embedding=facts.params_non_embedding,
            tokens=steps * config.tokens_per_step,
            flops=steps * facts.flops_per_step,
            seconds=None if step_s is None else step_s * steps,
        )


def _seconds_per_step(built: Trainer) -> float:
    steps = min(MEASURED_STEPS, built.total_steps)
    for _ in range(steps):
        built.train_step()
    return built.train_seconds / steps
