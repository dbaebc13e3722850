"""The answer in numbers: how much faster, whether the models learn the same, and what that is worth.

Everything is computed from pairs: two finished runs that differ in their backend only, one with laim's kernels and the fastest
one with stock's. What cannot be said is said so, with the reason.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import t as student

from laimbench import laws
from laimbench.errors import InputError
from laimbench.store import RunRow

LEVEL = 0.95
STOCK = ("torch", "compile")
OURS = ("laim", "laim+compile")


@dataclass(frozen=True)
class Pair:
    """Two runs of the same size, data, seed and dtype."""

    ours: RunRow
    stock: RunRow

    @property
    def speed_ratio(self) -> float:
        return self.stock.train_s / self.ours.train_s

    @property
    def loss_difference(self) -> float:
        return self.ours.final_val_loss - self.stock.final_val_loss


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; the interval is None where nothing supports one."""

    value: float
    interval: tuple[float, float] | None

    def text(self, form: str) -> str:
        value = format(self.value, form)
        return value if self.interval is None else f"{value} ({form_interval(self.interval, form)})"


@dataclass
class Answer:
    """The answer for one family, dtype and device (as in ``RunConfig``)."""

    family: str
    dtype: str
    device: str
    pairs: list[Pair]
    failed: int
    speed: Estimate | None = None
    speed_by_size: dict[str, Estimate] = field(default_factory=dict)
    difference: Estimate | None = None
    seed_spread: float | None = None
    seed_freedom: int = 0
    verdict: str = "cannot tell"
    law: laws.Fit | None = None
    law_compute: tuple[float, float] | None = None
    gain: Estimate | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def arithmetic(self) -> str:
        """The dtype, and the device if it is not the CPU: "bf16-cuda"."""
        return f"{self.dtype}-{self.device}" if self.device else self.dtype

    def sentence(self) -> str:
        """Return the answer in one sentence with its uncertainty."""
        if self.speed is None:
            return f"{self.family} {self.arithmetic}: no answer: {'; '.join(self.notes)}"
        machine = self.pairs[0].ours.machine
        processor = f"{machine['machine']}, {machine['isa']}, {machine['threads']} threads"
        where = f"On this machine ({machine['gpu'] if self.device else processor})"
        text = f"{where} laim trains {self.family} models in {self.dtype} {self.speed.value:.2f} times as fast as stock PyTorch"
        if self.speed.interval:
            text += f" (95 %: {form_interval(self.speed.interval, '.2f')})"
        text += {
            "the same": ", the models learn the same",
            "better": ", and the models end at a lower loss",
            "worse": ", but the models end at a higher loss",
            "cannot tell": "; whether they learn the same cannot be told from these runs",
        }[self.verdict]
        if self.difference:
            text += f" (final validation loss differs by {self.difference.value:+.4f} nats"
            text += f", seeds by {self.seed_spread:.4f})" if self.seed_spread is not None else ")"
        if self.gain:
            text += f", and at equal wall time that is worth a validation loss {self.gain_text()}"
        return text + "."

    def gain_text(self) -> str:
        """Return the gain in words: "0.033 nats lower (95 %: 0.009 to 0.047)"."""
        value = self.gain.value
        sign, word = (-1, "lower") if value <= 0 else (1, "higher")
        if self.gain.interval is None:
            return f"{sign * value:.4f} nats {word} (no interval: too few runs)"
        low, high = self.gain.interval
        return (
            f"{sign * value:.4f} nats {word} (95 %: {form_interval(tuple(sorted((sign * low, sign * high))), '.4f')})"
        )

    def lines(self) -> list[str]:
        """Return the answer for a terminal."""
        return [self.sentence(), *(f"  note: {note}" for note in self.notes)]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, fit for JSON."""
        number = lambda e: None if e is None else {"value": e.value, "interval": e.interval}  # noqa: E731
        return {
            "family": self.family,
            "dtype": self.dtype,
            "device": self.device or "cpu",
            "pairs": len(self.pairs),
            "failed": self.failed,
            "speed": number(self.speed),
            "speed_by_size": {size: number(estimate) for size, estimate in self.speed_by_size.items()},
            "loss_difference": number(self.difference),
            "seed_spread": self.seed_spread,
            "seed_degrees_of_freedom": self.seed_freedom,
            "verdict": self.verdict,
            "law": self.law and self.law.to_dict(),
            "gain_at_equal_wall_time": number(self.gain),
            "notes": self.notes,
            "sentence": self.sentence(),
        }


def answer(runs: list[RunRow]) -> list[Answer]:
    """Return one answer per family, dtype and device, the one with most pairs first.

    Raises:
        InputError: there is no run at all.
    """
    if not runs:
        raise InputError("the store holds no runs; `laimbench sweep` makes some")
    kinds = defaultdict(list)
    for run in runs:
        kinds[run.family, run.dtype, run.config.get("device", "")].append(run)
    found = [_answer(*kind, members) for kind, members in kinds.items()]
    return sorted(found, key=lambda one: -len(one.pairs))


def find_pairs(runs: list[RunRow]) -> list[Pair]:
    """Return the pairs among finished runs: same configuration but for the backend."""
    groups = defaultdict(dict)
    for run in runs:
        if run.status == "done" and run.final_val_loss is not None and run.train_s:
            groups[_configuration(run, "backend")][run.backend] = run
    pairs = []
    for backends in groups.values():
        ours = [backends[name] for name in OURS if name in backends]
        stock = [backends[name] for name in STOCK if name in backends]
        if ours and stock:
            fastest = lambda rows: min(rows, key=lambda run: run.train_s)  # noqa: E731
            pairs.append(Pair(fastest(ours), fastest(stock)))
    return pairs


def _configuration(run: RunRow, apart_from: str) -> tuple:
    """Return what runs have in common that differ in one field; older runs do not say their device, the CPU."""
    return tuple(sorted((k, v) for k, v in {"device": "", **run.config}.items() if k != apart_from))


def _answer(family: str, dtype: str, device: str, runs: list[RunRow]) -> Answer:
    one = Answer(family, dtype, device, find_pairs(runs), failed=sum(run.status == "failed" for run in runs))
    if one.failed:
        one.notes.append(f"{one.failed} runs failed and count nowhere")
    unfinished = sum(run.status == "running" for run in runs)
    if unfinished:
        one.notes.append(f"{unfinished} runs are not finished and count nowhere")
    if not one.pairs:
        one.notes.append("no two finished runs differ in their backend only, laim against torch or compile")
        return one
    _speed(one)
    _learning(one, [run for run in runs if run.status == "done"])
    _worth(one)
    return one


def _speed(one: Answer) -> None:
    """Geometric mean of time ratios; sizes are the independent units of the interval, pairs of one size are not."""
    by_size = defaultdict(list)
    for pair in one.pairs:
        by_size[pair.ours.size].append(np.log(pair.speed_ratio))
    one.speed_by_size = {size: _exponential(mean_interval(logs)) for size, logs in by_size.items()}
    means = [np.mean(logs) for logs in by_size.values()]
    one.speed = _exponential(mean_interval(means))
    if one.speed.interval is None:
        one.notes.append("one size only: no interval for the speed-up")


def _learning(one: Answer, done: list[RunRow]) -> None:
    """Compare paired loss differences with the spread over seeds.

    The verdict is "the same" when the 95 % interval of the mean difference lies within one seed standard deviation around 0, "better" or
    "worse" when it lies wholly beyond that on one side, else "cannot tell".
    """
    one.difference = mean_interval([pair.loss_difference for pair in one.pairs])
    one.seed_spread, one.seed_freedom = seed_spread(done)
    if one.seed_spread is None:
        one.notes.append("one seed only: there is no seed spread to compare losses with")
    elif one.difference.interval is None:
        one.notes.append("one pair only: no interval for the loss difference")
    else:
        low, high = one.difference.interval
        spread = one.seed_spread
        if -spread <= low and high <= spread:
            one.verdict = "the same"
        elif low > spread:
            one.verdict = "worse"
        elif high < -spread:
            one.verdict = "better"


def seed_spread(runs: list[RunRow]) -> tuple[float | None, int]:
    """Return the standard deviation of final validation losses over seeds, pooled over stock configurations, and its degrees of
    freedom.
    """
    groups = defaultdict(list)
    for run in runs:
        if run.backend in STOCK and run.final_val_loss is not None:
            groups[_configuration(run, "seed")].append(run.final_val_loss)
    freedom = sum(len(losses) - 1 for losses in groups.values())
    if freedom == 0:
        return None, 0
    squares = sum(np.var(losses, ddof=1) * (len(losses) - 1) for losses in groups.values() if len(losses) > 1)
    return float(np.sqrt(squares / freedom)), freedom


def _worth(one: Answer) -> None:
    """Fit L(C) to the final losses of both backends and read off what the speed is worth.

    In the time in which laim does the largest budget C, stock does C / speed: the gain is L(C / speed) - L(C), within the range of
    the data. Only where learning is the same is the speed-up a compute multiplier.
    """
    points = sorted({(run.flops, run.final_val_loss, run.size, run.tokens) for pair in one.pairs
                     for run in (pair.ours, pair.stock)})  # fmt: skip
    compute, loss = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    configurations = sorted({p[2:] for p in points})
    if len({p[0] for p in points}) < 4:
        one.notes.append(f"{len(set(compute))} budgets of compute, expected 4 or more to fit loss against compute")
        return
    clusters = [configurations.index(p[2:]) for p in points]
    one.law = laws.fit_power_law(compute, loss, clusters=clusters)
    one.law_compute = float(compute.min()), float(compute.max())
    blocking = [w for w in one.law.warnings if "distinguishable" in w or "equal" in w]
    if blocking:
        one.notes.append(f"no worth in loss: {blocking[0]}")
        return
    one.notes += [f"law: {w}" for w in one.law.warnings]
    if one.verdict != "the same":
        one.notes.append("no worth in loss: a speed-up counts as a compute multiplier only where learning is the same")
        return
    top, form = compute.max(), one.law.form
    draws = one.law.samples
    log_speed = np.full(len(draws), np.log(one.speed.value))
    if one.speed.interval:
        half = (np.log(one.speed.interval[1]) - np.log(one.speed.interval[0])) / 2
        log_speed += np.random.default_rng(0).normal(0, half / 1.96, len(draws))

    def gain(theta, log_factor):
        here, behind = form.at(theta, [top, top * np.exp(-log_factor)])
        return here - behind

    value = float(gain(one.law.theta, np.log(one.speed.value)))
    if not len(draws):
        one.gain = Estimate(value, None)
        return
    sampled = [gain(theta, factor) for theta, factor in zip(draws, log_speed, strict=True)]
    low, high = np.quantile(sampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    one.gain = Estimate(value, (float(low), float(high)))


def mean_interval(values: list[float]) -> Estimate:
    """Return the mean with Student's interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, None)
    half = float(student.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, (mean - half, mean + half))


def _exponential(of: Estimate) -> Estimate:
    interval = of.interval and (float(np.exp(of.interval[0])), float(np.exp(of.interval[1])))
    return Estimate(float(np.exp(of.value)), interval)


def form_interval(interval: tuple[float, float], form: str) -> str:
    return f"{format(interval[0], form)} to {format(interval[1], form)}"
