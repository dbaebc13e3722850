"""Synthesised speech of digits: ``builtin:spoken-digits`` (a word, a class) and ``builtin:spoken-numbers`` (words in a row).

Held out are whole voices and whole speeds: of a held-out clip, neither is in any training clip. Accents and pitches are on
both sides. Voices that are numbered alike or nearly equal are on one side. Clips are made once, into the cache.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.cores import usable_cores
from laimbench.data.cache import cached
from laimbench.data.espeak import Espeak, Synthesiser, Utterance
from laimbench.data.labelled import ByClass, Labelled, LabelledSets, build_sides, hold_out, read_sides
from laimbench.data.threads import in_threads
from laimbench.errors import InputError

FORMAT = 1  # of the cached files
DIGITS, NUMBERS = "builtin:spoken-digits", "builtin:spoken-numbers"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MOST_WORDS = 3  # of a number
BLANK = 0  # of CTC, and the padding of targets; the digit d is d + 1
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
PITCHES = (20, 80)
SPEEDS = {False: (120, 140, 160, 180, 210), True: (130, 150, 170, 195)}  # words a minute, held out or not
CLIPS = {False: 3000, True: 750}
TRIES = 50  # until an utterance fits
QUIET = 0.01  # of the peak: what is below, before and behind the words, is cut off
GAIN_DB, SNR_DB = (-18.0, -1.0), (10.0, 40.0)  # of the peak below full scale; of the words' power over white noise
SILENCE_S = 0.2  # at most, before and behind the words
PROBE = Utterance("seven five zero", "", ACCENTS[0], 150, 50)  # by which voices that differ in name only are found
ALIKE = 0.8  # correlation of waveforms: above it a voice is another one, a little louder or higher


@dataclass(frozen=True)
class SpeechBatch:
    """samples (B, T) float32 in [-1, 1), zeros behind lengths (B,); targets (B, U) int64, BLANK behind target_lengths (B,)."""

    samples: np.ndarray
    lengths: np.ndarray
    targets: np.ndarray
    target_lengths: np.ndarray


@dataclass(frozen=True)
class Speech(ByClass):
    """Clips with transcripts, for CTC (Graves et al. 2006): ids 1 to ``vocab_size`` - 1 are ``classes``, BLANK is 0."""

    rate: int

    @property
    def vocab_size(self) -> int:
        return len(self.classes) + 1

    def at(self, side: Labelled, positions: np.ndarray) -> SpeechBatch:
        """Return the clips of one side at these positions with their transcripts."""
        samples = side.items[positions].astype(np.float32) / np.float32(32768)
        targets = side.labels[positions]
        return SpeechBatch(samples, side.lengths[positions], targets, (targets != BLANK).sum(1))

    def decode(self, ids: np.ndarray) -> str:
        """Return the words of one row of targets."""
        return " ".join(self.classes[number - 1] for number in ids if number != BLANK)


def load_spoken(source: str, rate: int, seconds: float, synthesiser: Synthesiser | None = None) -> LabelledSets:
    """Return both sides of either source; labels are (n,) classes of digits or (n, MOST_WORDS) targets of numbers.

    Made by espeak-ng unless another synthesiser is given. The cache does not ask which version is installed, nor whether
    one is: it may have been made elsewhere, and its meta.json says by what.
    """
    chosen = synthesiser or Espeak()
    samples = round(seconds * rate)
    kind = f"{source} {rate} {samples}"
    folder, meta = cached(
        "labelled",
        f"{kind} {FORMAT} {type(chosen).__name__} {CLIPS}",
        lambda fresh: build(fresh, kind, source == NUMBERS, chosen, rate, samples),
    )
    return read_sides(source, folder, meta, WORDS, "clips")


def build(folder: Path, kind: str, numbers: bool, synthesiser: Synthesiser, rate: int, samples: int) -> dict[str, Any]:
    """Synthesise both sides, in parallel, and return their meta.json."""
    sides = split_voices(synthesiser)

    def items(held_out: bool) -> Iterator[tuple[Any, np.ndarray, int]]:
        def clip(number: int) -> tuple[Any, np.ndarray, int]:
            return make_clip(synthesiser, sides[held_out], held_out, number, numbers, rate, samples)

        return in_threads(clip, range(CLIPS[held_out]), len(usable_cores()))

    meta = build_sides(folder, kind, np.int16, (samples,), items, [])
    split = {
        name: {"voices": sides[held_out], "speeds": SPEEDS[held_out]}
        for name, held_out in (("train", False), ("validation", True))
    }
    return meta | {"synthesiser": synthesiser.version(), "split": split}


def split_voices(synthesiser: Synthesiser) -> dict[bool, list[str]]:
    """Return the voices of either side: a fifth of the families is held out, by a hash of the name."""
    voices = synthesiser.voices()
    family = families(synthesiser, voices)
    names = sorted(set(family))
    held_out = {name for name, out in zip(names, hold_out(names), strict=True) if out}
    if not held_out:
        raise InputError(f"{synthesiser.version()}: {len(names)} kinds of voices, expected three or more")
    return {
        side: [voice for voice, of in zip(voices, family, strict=True) if (of in held_out) == side]
        for side in (False, True)
    }


def families(synthesiser: Synthesiser, voices: list[str]) -> list[str]:
    """Return each voice's family: voices of one name but for its number, and those whose PROBE correlates over ALIKE."""

    def say(voice: str) -> np.ndarray:
        return synthesiser.say(Utterance(PROBE.text, voice, PROBE.accent, PROBE.speed, PROBE.pitch))[0]

    said = list(in_threads(say, voices, len(usable_cores())))
    waves = np.zeros((len(voices), max((len(samples) for samples in said), default=0)), dtype=np.float32)
    for wave, samples in zip(waves, said, strict=True):
        wave[: len(samples)] = samples / max(np.linalg.norm(samples), 1e-9)
    alike = np.abs(waves @ waves.T) > ALIKE
    family = [voice.rstrip("0123456789").lower() for voice in voices]
    for i, j in np.argwhere(np.triu(alike, 1)).tolist():
        family = [family[i] if of == family[j] else of for of in family]
    return family


def make_clip(
    synthesiser: Synthesiser,
    voices: list[str],
    held_out: bool,
    number: int,
    in_a_row: bool,
    rate: int,
    samples: int,
) -> tuple[Any, np.ndarray, int]:
    """Return label, samples and length of clip ``number`` of a side: each digit, each number of words equally often.

    An utterance that does not fit is drawn anew.

    Raises:
        InputError: none of TRIES utterances fits.
    """
    generator = np.random.default_rng((held_out, number))
    for _ in range(TRIES):
        digits = generator.integers(len(WORDS), size=1 + number % MOST_WORDS) if in_a_row else [number % len(WORDS)]
        utterance = Utterance(
            " ".join(WORDS[digit] for digit in digits),
            str(generator.choice(voices)),
            str(generator.choice(ACCENTS)),
            int(generator.choice(SPEEDS[held_out])),
            int(generator.integers(*PITCHES)),
        )
        words = trimmed(*synthesiser.say(utterance), rate)
        if 0 < len(words) <= samples:
            item, length = augmented(words, rate, samples, generator)
            targets = [digit + 1 for digit in digits] + [BLANK] * (MOST_WORDS - len(digits))
            return targets if in_a_row else digits[0], item, length
    raise InputError(f"audio of {samples / rate} s: {utterance.text!r} does not fit, expected more seconds")


def trimmed(said: np.ndarray, own_rate: int, rate: int) -> np.ndarray:
    """Return the words at ``rate`` with a peak of 1, without the silence around them; empty where nothing is said."""
    from scipy.signal import resample_poly

    level = np.abs(said)
    loud = np.flatnonzero(level > QUIET * level.max(initial=0))
    if not len(loud):
        return said[:0]
    words = said[loud[0] : loud[-1] + 1]
    if own_rate != rate:
        common = gcd(rate, own_rate)
        words = resample_poly(words, rate // common, own_rate // common)
    return words / np.abs(words).max()


def augmented(words: np.ndarray, rate: int, samples: int, generator: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return int16 (samples,) and its length: silence before and behind the words, a gain, white noise over all of it."""
    before = int(generator.uniform(0, min(SILENCE_S * rate, samples - len(words))))
    behind = int(generator.uniform(0, min(SILENCE_S * rate, samples - len(words) - before)))
    clip = np.pad(words, (before, behind))
    noise = np.sqrt(np.mean(words**2) / 10 ** (generator.uniform(*SNR_DB) / 10))
    clip = (clip + generator.normal(0, noise, len(clip))) * 10 ** (generator.uniform(*GAIN_DB) / 20)
    item = np.zeros(samples, dtype=np.int16)
    item[: len(clip)] = np.clip(np.rint(clip * 32767), -32768, 32767)
    return item, len(clip)
