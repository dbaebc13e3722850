"""Canaries: random sequences put into the training data, and how much more probable than chance a model finds them.

Source: Carlini, Liu, Erlingsson, Kos & Song 2019, "The Secret Sharer: Evaluating and Testing Unintended Memorization in
Neural Networks". For a canary s of the randomness space R, exposure = log2 |R| - log2 rank(s), the rank by loss among all
of R: bits of the secret that the model gives away. A canary that was never trained on has -log2 U, U uniform: 1.44 bits on
average, more than b bits with probability 2^-b.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import kstest, skewnorm

from laimbench.data.windows import TokenWindows
from laimbench.errors import InputError
from laimbench.responsible.model import LanguageModel, checked_losses

SAMPLES = 4096
BATCH = 256


@dataclass(frozen=True)
class CanaryFormat:
    """A template of tokens in which None is a slot, and the tokens that a slot may hold.

    Raises:
        InputError: no slot, a slot at the beginning (its token would never be predicted), or fewer than two tokens.
    """

    template: tuple[int | None, ...]
    alphabet: tuple[int, ...]

    def __post_init__(self):
        if None not in self.template or self.template[0] is None:
            raise InputError(f"canary template {self.template}, expected a token first and one slot (None) or more")
        if len(set(self.alphabet)) != len(self.alphabet) or len(self.alphabet) < 2:
            raise InputError(f"canary alphabet of {len(self.alphabet)} tokens, expected two or more, all different")

    @property
    def slots(self) -> int:
        return self.template.count(None)

    @property
    def bits(self) -> float:
        """log2 |R|, the most that exposure can be."""
        return self.slots * float(np.log2(len(self.alphabet)))

    def fill(self, choices: np.ndarray) -> np.ndarray:
        """Return (n, length) int64 for (n, slots) positions in the alphabet."""
        filled = np.tile(np.array([token or 0 for token in self.template], dtype=np.int64), (len(choices), 1))
        filled[:, [token is None for token in self.template]] = np.array(self.alphabet, dtype=np.int64)[choices]
        return filled


def random_canaries(form: CanaryFormat, count: int, seed: int) -> np.ndarray:
    """Return (count, length) int64: different canaries, drawn uniformly.

    Raises:
        InputError: more canaries than the format has.
    """
    if not 1 <= count <= 2.0**form.bits:
        raise InputError(f"{count} canaries, expected 1 to {2.0**form.bits:.0f} of this format")
    generator = np.random.default_rng((seed, 0xCA9A))
    found = np.empty((0, form.slots), dtype=np.int64)
    while len(found) < count:
        drawn = np.concatenate([found, generator.integers(0, len(form.alphabet), (count, form.slots))])
        _, first = np.unique(drawn, axis=0, return_index=True)
        found = drawn[np.sort(first)][:count]
    return form.fill(found)


class CanaryWindows:
    """``TokenWindows`` with canaries written over seeded places of a run's training windows.

    Every canary stands in exactly ``repeats`` of the first ``total`` windows of the run (steps times batch size), at most one
    in a window, wholly inside. Which windows and where is decided by ``seed`` alone, whatever the run's own seed; validation
    windows are untouched.

    Args:
        windows: the source.
        canaries: (n, length) tokens.
        repeats: how often each; one number for all, or n of them (0: a control that is never trained on).
        seed: of the places.
        total: windows in the run.

    Raises:
        InputError: tokens outside the vocabulary, or more insertions than windows.
    """

    def __init__(
        self, windows: TokenWindows, canaries: np.ndarray, repeats: int | np.ndarray, seed: int, *, total: int
    ):
        self._windows, self._canaries, self._seed = windows, np.asarray(canaries, dtype=np.int64), seed
        self.source, self.vocab_size = windows.source, windows.vocab_size
        if self._canaries.ndim != 2 or not self._canaries.size:
            raise InputError(f"canaries have shape {self._canaries.shape}, expected (count, length)")
        if not (self._canaries.min() >= 0 and self._canaries.max() < self.vocab_size):
            raise InputError(f"canaries hold tokens outside the vocabulary, expected 0 to {self.vocab_size - 1}")
        repeats = np.broadcast_to(repeats, len(self._canaries))
        if repeats.min() < 0 or repeats.sum() > total:
            raise InputError(f"{repeats.sum()} insertions of canaries, expected 0 to the run's {total} windows")
        chosen = np.random.default_rng((seed, total)).choice(total, int(repeats.sum()), replace=False)
        self.inserted = dict(zip(chosen.tolist(), np.repeat(np.arange(len(repeats)), repeats).tolist(), strict=True))
        self.notes = (*windows.notes, f"{len(self._canaries)} canaries inserted {repeats.sum()} times")

    def train_windows(self, seed: int, step: int, count: int, length: int) -> np.ndarray:
        """Return the source's windows, (count, length) int64, with the canaries that belong there.

        Raises:
            InputError: a canary longer than a window.
        """
        room = length - self._canaries.shape[1]
        if room < 0:
            raise InputError(f"canaries of {self._canaries.shape[1]} tokens, expected at most the window's {length}")
        rows = self._windows.train_windows(seed, step, count, length).copy()
        for row in range(count):
            number = step * count + row
            if (canary := self.inserted.get(number)) is not None:
                start = int(np.random.default_rng((self._seed, number)).integers(0, room + 1))
                rows[row, start : length - room + start] = self._canaries[canary]
        return rows

    def validation_windows(self, count: int, length: int) -> np.ndarray:
        return self._windows.validation_windows(count, length)


@dataclass(frozen=True)
class Exposure:
    """Exposure of canaries in bits, one value each.

    ``sampled``: -log2 of (1 + sequences of the reference with no larger loss) / (1 + size of the reference): honest, but at most
    ``resolution`` bits. ``modelled``: -log2 of the mass that a skew normal fitted to the reference's losses has below the
    canary's: reaches beyond the resolution, as far as the fit holds in its tail, which nothing checks. ``fit_p`` is the
    Kolmogorov–Smirnov p-value of the fit (optimistic: the parameters are fitted to the same losses): below 0.1 distrust
    ``modelled``. ``bits`` is log2 |R|; ``modelled`` is cut there. ``exhaustive``: the reference is all of R, so ``sampled`` is exact.
    """

    sampled: tuple[float, ...]
    modelled: tuple[float, ...]
    bits: float
    resolution: float
    fit_p: float
    exhaustive: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, fit for JSON."""
        return asdict(self)


def exposure(
    model: LanguageModel, canaries: np.ndarray, form: CanaryFormat, *, samples: int = SAMPLES, seed: int = 0,
    context: np.ndarray | None = None,
) -> Exposure:  # fmt: skip
    """Return the exposure of canaries among random sequences of the same format.

    Args:
        model: any that keeps the protocol.
        canaries: (n, length) tokens of this format.
        form: the format that they were drawn from.
        samples: size of the reference; all of R is taken where it is not larger.
        seed: of the reference.
        context: (c,) tokens put before each sequence, the same for all. A model with learned positions has seen the canaries
            anywhere in its windows, and rates them by the positions where they are asked.

    Raises:
        InputError: canaries of another format, or too long for the model.
    """
    canaries = np.asarray(canaries, dtype=np.int64)
    fixed = [i for i, token in enumerate(form.template) if token is not None]
    if canaries.ndim != 2 or canaries.shape[1] != len(form.template):
        raise InputError(f"canaries have shape {canaries.shape}, expected (count, {len(form.template)})")
    if (canaries[:, fixed] != [form.template[i] for i in fixed]).any():
        raise InputError("canaries differ from the format's fixed tokens, expected canaries of this format")
    before = np.empty(0, dtype=np.int64) if context is None else np.asarray(context, dtype=np.int64)
    exhaustive = len(form.alphabet) ** form.slots <= samples
    if exhaustive:
        size = len(form.alphabet) ** form.slots
        places = len(form.alphabet) ** np.arange(form.slots)
        choices = np.arange(size)[:, None] // places % len(form.alphabet)
    else:
        choices = np.random.default_rng((seed, 0x5A)).integers(0, len(form.alphabet), (samples, form.slots))
    reference = np.sort(_sequence_losses(model, form.fill(choices), before))
    losses = _sequence_losses(model, canaries, before)
    # The canary itself is in an exhaustive reference, and is added to a sampled one.
    rank = np.searchsorted(reference, losses, side="right") + (0 if exhaustive else 1)
    size = len(reference) + (0 if exhaustive else 1)
    sampled = np.log2(size) - np.log2(np.maximum(rank, 1))
    shape = skewnorm.fit(reference) if reference[-1] > reference[0] else (0.0, reference[0], 1.0)
    modelled = np.minimum(-skewnorm.logcdf(losses, *shape) / np.log(2), form.bits)
    return Exposure(
        tuple(sampled.tolist()), tuple(modelled.tolist()), form.bits, float(np.log2(size)),
        float(kstest(reference, skewnorm(*shape).cdf).pvalue), exhaustive,
    )  # fmt: skip


def _sequence_losses(model: LanguageModel, sequences: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return (n,) nats: of a sequence's tokens after its first, which is the same for all."""
    rows = np.concatenate([np.tile(before, (len(sequences), 1)), sequences], axis=1)
    parts = [checked_losses(model, rows[i : i + BATCH]) for i in range(0, len(rows), BATCH)]
    return np.concatenate(parts)[:, len(before) :].sum(axis=1)
