"""Synthesised digits: voices and speeds are on one side, targets say what was said; espeak-ng where it is installed."""

import shutil
from collections import Counter

import numpy as np
import pytest

from laimbench.data import load_clips, load_speech, spoken
from laimbench.data.espeak import Espeak, Utterance
from laimbench.data.spoken import ACCENTS, SPEEDS, WORDS, augmented, families, load_spoken, split_voices, trimmed
from laimbench.errors import InputError

RATE = 8000
VOICES = ["ann", "ann2", "bob", "cat", "dan", "eve", "fay", "gus", "hal", "ivy", "twin"]
needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="the command espeak-ng is not installed")


class Tones:
    """Says each word as 0.2 s at 150 words a minute of the voice's own tone; ``twin`` is ``bob`` under another name."""

    def __init__(self):
        self.said = []

    def version(self):
        return "tones 1"

    def voices(self):
        return VOICES

    def say(self, utterance):
        self.said.append(utterance)
        duration = 0.2 * len(utterance.text.split()) * 150 / utterance.speed
        hertz = 400 + 200 * VOICES.index("bob" if utterance.voice == "twin" else utterance.voice)
        tone = 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(duration * RATE)) / RATE)
        return np.pad(tone, (100, 900)), RATE


@pytest.fixture
def tones(monkeypatch):
    made = Tones()
    monkeypatch.setattr(spoken, "CLIPS", {False: 60, True: 30})
    monkeypatch.setattr(spoken, "Espeak", lambda: made)
    return made


def heard(samples, lengths):
    """Return each clip's voice, by its tone."""
    spectrum = np.abs(np.fft.rfft(samples, n=RATE, axis=1))
    return [VOICES[round((hertz - 400) / 200)] for hertz in spectrum.argmax(1)]


def test_no_voice_and_no_speed_is_on_both_sides(tones):
    clips = load_clips("builtin:spoken-digits", rate=RATE, seconds=0.9)
    assert clips.classes == WORDS and len(clips.sets.train) == 60 and len(clips.sets.validation) == 30
    trained = set(heard(*clips.train_batch(0, 0, 60)[:2]))
    held_out = set(heard(*clips.validation_batch(0, 30)[:2]))
    assert len(trained) >= 5 and held_out and not trained & held_out
    sides = split_voices(tones)
    assert trained <= set(sides[False]) and held_out <= set(sides[True])
    speeds = {side: {u.speed for u in tones.said if u.voice in sides[side] and u.text in WORDS} for side in sides}
    assert (
        speeds[False] == set(SPEEDS[False]) and speeds[True] <= set(SPEEDS[True]) and not speeds[False] & speeds[True]
    )


def test_voices_numbered_alike_or_sounding_alike_are_one_family(tones):
    of = dict(zip(VOICES, families(tones, VOICES), strict=True))
    assert of["ann"] == of["ann2"] and of["bob"] == of["twin"] and len(set(of.values())) == 9
    sides = split_voices(tones)
    assert sorted(sides[False] + sides[True]) == VOICES and len({of[voice] for voice in sides[True]}) == 2


def test_clips_are_balanced_reproduced_and_made_once(tones):
    clips = load_clips("builtin:spoken-digits", rate=RATE, seconds=0.8)
    samples, lengths, labels = clips.train_batch(1, 2, 30)
    assert samples.shape == (30, 6400) and samples.dtype == np.float32
    assert Counter(clips.sets.train.labels.tolist()) == dict.fromkeys(range(10), 6)
    assert all(not row[length:].any() and row[:length].any() for row, length in zip(samples, lengths, strict=True))
    calls = len(tones.said)
    again = load_clips("builtin:spoken-digits", rate=RATE, seconds=0.8)
    assert len(tones.said) == calls
    assert all(
        np.array_equal(a, b) for a, b in zip(again.train_batch(1, 2, 30), (samples, lengths, labels), strict=True)
    )


def test_targets_say_what_was_said(tones):
    speech = load_speech(rate=RATE, seconds=1.5)
    batch = speech.validation_batch(0, 30)
    assert batch.samples.shape == (30, 12_000) and batch.targets.shape == (30, 3) and speech.vocab_size == 11
    assert Counter(batch.target_lengths.tolist()) == {1: 10, 2: 10, 3: 10}
    said = Counter(utterance.text for utterance in tones.said if utterance.speed in SPEEDS[True])
    said[spoken.PROBE.text] -= len(VOICES)  # said to compare voices
    assert Counter(speech.decode(row) for row in batch.targets) == +said
    for row, count in zip(batch.targets, batch.target_lengths, strict=True):
        assert (row[:count] > 0).all() and not row[count:].any()
    shortest = 0.2 * batch.target_lengths * 150 / max(SPEEDS[True])
    assert (batch.lengths / RATE > shortest - 0.01).all() and (batch.lengths <= 12_000).all()


def test_words_are_cut_out_and_noise_is_as_stated():
    tone = np.pad(0.1 * np.sin(2 * np.pi * 500 * np.arange(4000) / RATE), (700, 3000))
    words = trimmed(tone, RATE, RATE)
    assert 3990 <= len(words) <= 4000 and np.abs(words).max() == 1
    assert len(trimmed(tone, RATE, 2 * RATE)) == 2 * len(words) and not len(trimmed(np.zeros(50), RATE, RATE))
    ratios = []
    for seed in range(20):
        item, length = augmented(words, RATE, 9000, np.random.default_rng(seed))
        assert len(words) <= length <= len(words) + 3200 and not item[length:].any()
        power = np.abs(np.fft.rfft(item[:length] / 32768.0)) ** 2
        near = np.abs(np.fft.rfftfreq(length, 1 / RATE) - 500) < 100
        # noise of the whole clip from what is outside the tone's band, the words' power spread over the whole clip
        ratios.append(10 * np.log10(power[near].sum() / (power[~near].sum() / (~near).mean()) * length / len(words)))
    assert min(ratios) > 9 and max(ratios) < 41 and max(ratios) - min(ratios) > 15


def test_wrong_requests_end_in_one_line(tones, monkeypatch, tmp_path):
    with pytest.raises(InputError, match="does not fit"):
        load_clips("builtin:spoken-digits", rate=RATE, seconds=0.05)
    with pytest.raises(InputError, match="spoken-numbers"):
        load_speech("builtin:spoken-digits")
    with pytest.raises(InputError, match="audio"):
        load_speech(seconds=0)
    monkeypatch.setattr(tones, "voices", lambda: VOICES[:2])
    with pytest.raises(InputError, match="1 kinds of voices"):
        load_spoken("builtin:spoken-digits", RATE, 0.7, tones)


def test_the_command_s_absence_and_failures_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="apt-get install espeak-ng"):
        load_clips("builtin:spoken-digits", seconds=0.77)
    command = tmp_path / "espeak-ng"
    said = Utterance("one", "f1", "en-us", 150, 50)
    for script, word in (("echo no such voice >&2; exit 1", "no such voice"), ("exit 3", "exit status 3"),
                         ("exit 0", "no wav"), ("echo RIFFRIFFRIFFRIFF", "no wav")):  # fmt: skip
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
        with pytest.raises(InputError, match=word) as caught:
            Espeak().say(said)
        assert "\n" not in str(caught.value)
    table = " 5  variant         --/M      Mr_Serious         !v/Mr serious        \n 5  variant  70/M  Storm  !v/Storm (en-us 5)\n"
    command.write_text(f"#!/bin/sh\nprintf '%s' '{table}'\n")
    assert Espeak().voices() == ["Mr serious", "Storm"]


@needs_espeak
def test_espeak_says_digits_in_many_voices(monkeypatch):
    monkeypatch.setattr(spoken, "CLIPS", {False: 40, True: 10})
    synthesiser = Espeak()
    voices = synthesiser.voices()
    assert len(voices) > 50 and synthesiser.version()
    one, two = (Utterance(word, voices[0], ACCENTS[0], 150, 50) for word in ("one", "two"))
    (first, rate), (again, _), (other, _) = (synthesiser.say(u) for u in (one, one, two))
    assert rate >= 8000 and np.array_equal(first, again) and not np.array_equal(first, other)
    for accent in ACCENTS:
        assert 0.1 < len(trimmed(*synthesiser.say(Utterance("one", voices[0], accent, 150, 50)), rate)) / rate < 1
    clips = load_clips("builtin:spoken-digits")
    samples, lengths, labels = clips.train_batch(0, 0, 40)
    assert (
        samples.shape == (40, 16_000) and (lengths > 0.15 * 16_000).all() and np.bincount(labels).tolist() == [4] * 10
    )
    assert (np.abs(samples).max(1) > 0.1).all()
