"""A ladder that is designed to a budget: what this machine can afford, what to run of it, and the lab that trains it by ``sweep``."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from laimbench.design.costs import StepCost, Timing, fit_costs
from laimbench.design.sequential import MOST_SEEDS, MOST_SHARE, SLACK, Result, Space, candidate_tokens
from laimbench.errors import InputError
from laimbench.ladder.config import COMMON_KEYS, TRAIN_KEYS, Ladder
from laimbench.ladder.plan import MEASURED_STEPS, TRAINING_BYTES, USABLE_MEMORY, run_key
from laimbench.laws.units import parse_flops, parse_seconds
from laimbench.store import Store
from laimbench.train import RunConfig, Trainer, describe
from laimbench.train.device import memories

WIDTHS = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
# Width over depth: the least for which loss hardly depends on it (Kaplan et al. 2020, figure 5).
ASPECT, FEWEST_BLOCKS = 32, 2
TOKENS_PER_PARAM = (1.0, 500.0)
FEWEST_STEPS = 100  # fewer are a warm-up and not a run
# Over the data: up to there a token that is seen again is nearly worth a fresh one (Muennighoff et al. 2023).
MOST_EPOCHS = 4.0
MEASURED = slice(0, 9, 2)  # of WIDTHS: up to 512, for a line of two parameters
MEASURING_SHARE, LEAST_MEASURING_S = 0.02, 5.0  # of a budget in time
DEARER = 8  # times what a size took, the next may take
SETTINGS = {"evals": 2}  # the law wants final losses only
FAMILY = "gpt"
BASE_KEYS = (*COMMON_KEYS, "backends", "train")


@dataclass(frozen=True)
class Amount:
    """A budget: value in seconds or FLOPs."""

    value: float
    unit: str

    def text(self, value: float | None = None) -> str:
        value = self.value if value is None else value
        return f"{value / 60:.1f} min" if self.unit == "seconds" else f"{value:.3g} FLOPs"


def parse_budget(text: str) -> Amount:
    """Return the budget of ``30m``, ``5h``, ``90s`` or ``1e18``, ``2PF-days``.

    Raises:
        InputError: it is neither a time nor FLOPs.
    """
    # A time ends in its unit, of which "m" is minutes and not millions; a bare number is FLOPs.
    readings = [(parse_seconds, "seconds")] * text.strip()[-1:].isalpha() + [(parse_flops, "FLOPs")]
    for parse, unit in readings:
        with suppress(InputError):
            return Amount(parse(text), unit)
    raise InputError(f"--budget is {text!r}, expected a time such as 30m or 5h, or FLOPs such as 1e18")


@dataclass(frozen=True)
class Base:
    """What all runs of a design share: values of ``RunConfig``, and backends."""

    values: dict[str, Any]
    backends: tuple[str, ...]

    def config(self, width: int, tokens: int, seed: int = 0, backend: str = "") -> RunConfig:
        shape = {"width": width, "depth": max(FEWEST_BLOCKS, width // ASPECT), "tokens": int(tokens), "seed": seed}
        return RunConfig.from_dict({**self.values, **shape, "backend": backend or self.backends[0]})


def make_base(values: dict[str, Any], question: str) -> Base:
    """Return what runs share, from the values of a ladder's file without sizes, tokens and seeds; for a speed-up two backends.

    Raises:
        InputError: a key that the design chooses, an unknown one, or a wrong value.
    """
    for key in values:
        if key not in (*BASE_KEYS, "name"):
            raise InputError(
                f"{key} is given with --budget, expected only {', '.join(BASE_KEYS)}: the design chooses the rest"
            )
    train = values.get("train", {})
    if not isinstance(train, dict):
        raise InputError(f"train is {train!r}, expected a table")
    for key in train:
        if key not in TRAIN_KEYS:
            raise InputError(f"unknown key 'train.{key}', expected one of {', '.join(TRAIN_KEYS)}")
    common = {key: values[key] for key in COMMON_KEYS if key in values}
    if common.get("family", FAMILY) != FAMILY:
        raise InputError(
            f"family is {common['family']!r}, expected {FAMILY} with --budget: the law is one of tokens of text"
        )
    paired = question.startswith("speedup")
    backends = values.get("backends", ["torch", "laim"] if paired else ["laim"])
    base = Base(
        {**SETTINGS, **common, **train}, tuple(map(str, backends if isinstance(backends, list) else [backends]))
    )
    if len(base.backends) != 1 + paired or len(set(base.backends)) != len(base.backends):
        raise InputError(
            f"backends are {backends}, expected {'two different ones' if paired else 'one'} to design for {question}"
        )
    for backend in base.backends:
        base.config(WIDTHS[0], 1, backend=backend)
    return base


@dataclass(frozen=True)
class Affordable:
    """What may be run: ``space`` with the width of each candidate; timings and costs by backend, empty for a budget in FLOPs."""

    space: Space
    widths: np.ndarray
    costs: dict[str, StepCost] = field(default_factory=dict)


def affordable(base: Base, budget: Amount) -> Affordable:
    """Return the runs that fit the budget, after timing a few steps of some sizes if it is a time.

    Raises:
        InputError: nothing fits, or the data's or model's settings are wrong.
    """
    memory = min(memories(base.config(WIDTHS[0], 1).device)) * USABLE_MEMORY
    costs = _measure(base, budget) if budget.unit == "seconds" else {}
    longest = _most_tokens(base)
    params, tokens, paid, widths = [], [], [], []
    for width in WIDTHS:
        config = base.config(width, 1)
        facts = describe(config)
        if facts.params * TRAINING_BYTES > memory:
            break
        step = config.tokens_per_step
        evaluation_steps = max(1, config.eval_tokens // step)

        def cost(count: float, facts=facts, step=step, config=config, evaluation_steps=evaluation_steps) -> float:
            steps = round(count / step)
            if not costs:
                return steps * facts.flops_per_step * len(base.backends)
            return sum(c.run_s(facts.flops_per_step, steps, config.evals, evaluation_steps) for c in costs.values())

        low, high = (ratio * facts.params for ratio in TOKENS_PER_PARAM)
        low = max(low, FEWEST_STEPS * step)
        found = candidate_tokens(cost, budget.value, low, min(high, longest))
        if not found and cost(low) > MOST_SHARE * SLACK * budget.value:
            break
        for count in found:
            count = round(count / step) * step
            params.append(facts.params), tokens.append(count), paid.append(cost(count)), widths.append(width)
    return Affordable(Space(*(np.array(column, float) for column in (params, tokens, paid))), np.array(widths), costs)


def _measure(base: Base, budget: Amount) -> dict[str, StepCost]:
    """Time sizes from the smallest up, until the share of the budget that is for measuring is gone."""
    until = time.perf_counter() + max(MEASURING_SHARE * budget.value, min(LEAST_MEASURING_S, 0.1 * budget.value))
    timings: dict[str, list[Timing]] = {backend: [] for backend in base.backends}
    config = base.config(WIDTHS[0], 1)
    Trainer(config)  # what is slow the first time: data, threads
    for width in WIDTHS[MEASURED]:
        begun = time.perf_counter()
        for backend in base.backends:
            started = time.perf_counter()
            built = Trainer(base.config(width, 10**9, backend=backend))
            start_s = time.perf_counter() - started
            steps = []
            for _ in range(MEASURED_STEPS):
                before = time.perf_counter()  # with the batch's preparation, which a budget pays for too
                built.train_step()
                steps.append(time.perf_counter() - before)
            timings[backend].append(Timing(built.flops_per_step, float(np.median(steps)), start_s))
        if time.perf_counter() + DEARER * (time.perf_counter() - begun) > until:
            break
    evaluation_steps = max(1, config.eval_tokens // config.tokens_per_step)
    return {backend: fit_costs(found, evaluation_steps) for backend, found in timings.items()}


def _most_tokens(base: Base) -> float:
    from laimbench.train.tasks import make_task

    stream = getattr(make_task(base.config(WIDTHS[0], 1)).data, "train", None)
    return np.inf if stream is None else MOST_EPOCHS * len(stream)


class LadderLab:
    """Trains candidates into a store by way of ``train`` (a ladder to its outcome), and reads their results there.

    started: ``time.monotonic`` when the budget's clock began; clock: seconds since when are spent of a budget in time.
    """

    def __init__(
        self,
        name: str,
        base: Base,
        options: Affordable,
        budget: Amount,
        store: Store,
        train: Callable[[Ladder], Any],
        started: float,
    ):
        self.name, self.base, self.options, self.budget, self.store = name, base, options, budget, store
        self._train, self._started, self.failures = train, started, []
        self._keys = {
            tuple(run_key(config) for config in self.group(run, seed)): (run, seed)
            for run in range(len(options.widths)) for seed in range(MOST_SEEDS)
        }  # fmt: skip
        self._before = sum(self._cost_of(result) for result in self._own())

    def group(self, run: int, seed: int) -> tuple[RunConfig, ...]:
        """Return the runs of a candidate: one for each backend."""
        tokens, width = int(self.options.space.tokens[run]), int(self.options.widths[run])
        return tuple(self.base.config(width, tokens, seed, backend) for backend in self.base.backends)

    def train(self, runs: Sequence[tuple[int, int]]) -> None:
        outcome = self._train(Ladder(self.name, tuple(self.group(run, seed) for run, seed in runs)))
        self.failures += outcome.failures

    def results(self) -> list[Result]:
        known = {run.key: run for run in self.store.runs(family=FAMILY)}
        found = []
        for keys, (candidate, seed) in self._keys.items():
            runs = [known.get(key) for key in keys]
            if any(run is None or run.status == "running" for run in runs):
                continue
            if any(run.status == "failed" for run in runs):
                found.append(Result(candidate, seed, np.nan))
                continue
            first, last = runs[0], runs[-1]
            found.append(Result(candidate, seed, first.final_val_loss, np.log(last.final_val_loss / first.final_val_loss),
                                np.log(first.train_s / last.train_s)))  # fmt: skip
        return found

    def spent(self) -> float:
        if self.budget.unit == "seconds":
            return self._before + time.monotonic() - self._started
        return sum(self._cost_of(result) for result in self._own())

    def _own(self) -> list[Result]:
        own = {run.key for run in self.store.runs(sweep=self.name)}
        groups = {at: keys for keys, at in self._keys.items()}
        return [r for r in self.results() if own & set(groups[r.candidate, r.seed])]

    def _cost_of(self, result: Result) -> float:
        return float(self.options.space.costs[result.candidate])


def design_name(base: Base, question: str, budget: Amount) -> str:
    """Return the sweep's name: the same for the same question, so that started again it goes on."""
    text = json.dumps([base.values, base.backends, question, budget.value, budget.unit], sort_keys=True)
    return f"design-{question.partition('@')[0]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
