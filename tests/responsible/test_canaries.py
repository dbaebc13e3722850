"""Canaries stand where they should and nowhere else; exposure is 0, 1.44 or all bits where that is known."""

import json

import numpy as np
import pytest

from laimbench.errors import InputError
from laimbench.responsible.canaries import CanaryFormat, CanaryWindows, exposure, random_canaries
from tests.responsible.models import Bigram, Noise, Parrot

FORM = CanaryFormat((1, 2, None, None, 3, None), tuple(range(10, 40)))
LENGTH, STEPS, BATCH = 17, 30, 8
NOISE = Noise()


def batches(source, seed=0):
    return np.concatenate([source.train_windows(seed, step, BATCH, LENGTH) for step in range(STEPS)])


def occurrences(rows, canary):
    places = np.lib.stride_tricks.sliding_window_view(rows, len(canary), axis=1)
    return int((places == canary).all(axis=2).sum())


def test_random_canaries_are_of_the_format_different_and_by_seed():
    canaries = random_canaries(FORM, 50, seed=1)
    assert canaries.shape == (50, 6) and len(np.unique(canaries, axis=0)) == 50
    assert (canaries[:, [0, 1, 4]] == [1, 2, 3]).all() and np.isin(canaries[:, [2, 3, 5]], FORM.alphabet).all()
    assert (random_canaries(FORM, 50, seed=1) == canaries).all() and (
        random_canaries(FORM, 50, seed=2) != canaries
    ).any()
    assert len(random_canaries(CanaryFormat((0, None), (1, 2, 3)), 3, seed=0)) == 3  # all there are


def test_every_canary_stands_as_often_as_wanted_and_the_rest_is_the_source():
    canaries = random_canaries(FORM, 3, seed=0)
    source = CanaryWindows(NOISE, canaries, np.array([0, 1, 20]), seed=5, total=STEPS * BATCH)
    rows, plain = batches(source), batches(NOISE)
    assert [occurrences(rows, canary) for canary in canaries] == [0, 1, 20]
    changed = (rows != plain).any(axis=1)
    assert sorted(np.flatnonzero(changed)) == sorted(source.inserted) and changed.sum() == 21
    assert (rows != plain)[changed].sum(axis=1).max() <= len(FORM.template)
    assert (source.validation_windows(5, 9) == NOISE.validation_windows(5, 9)).all()
    assert (
        source.vocab_size == 50 and source.source == "noise" and source.notes[0] == "a note" and len(source.notes) == 2
    )


def test_places_depend_on_their_own_seed_alone():
    canaries = random_canaries(FORM, 3, seed=0)
    make = lambda seed: CanaryWindows(NOISE, canaries, 5, seed, total=STEPS * BATCH)  # noqa: E731
    assert (batches(make(5)) == batches(make(5))).all() and make(5).inserted != make(6).inserted
    one, other = batches(make(5), seed=0), batches(make(5), seed=1)
    assert [occurrences(one, c) for c in canaries] == [occurrences(other, c) for c in canaries] == [5, 5, 5]
    late_first = make(5).train_windows(0, 7, BATCH, LENGTH)  # in whatever order steps are asked for
    assert (late_first == one[7 * BATCH : 8 * BATCH]).all()


def test_exposure_grows_with_repetitions_up_to_all_bits():
    canaries = random_canaries(FORM, 4, seed=3)
    source = CanaryWindows(NOISE, canaries, np.array([0, 2, 20, 60]), seed=5, total=STEPS * BATCH)
    model = Bigram(batches(source), 50, LENGTH - 1)
    found = exposure(model, canaries, FORM, samples=2000)
    assert (
        not found.exhaustive
        and found.bits == pytest.approx(3 * np.log2(30))
        and found.resolution == pytest.approx(np.log2(2001))
    )
    assert found.sampled[3] == pytest.approx(found.resolution) and found.sampled[0] < found.sampled[2]
    assert all(0 <= value <= found.bits for value in found.modelled) and found.modelled[3] > found.modelled[0]
    whole = exposure(model, canaries, FORM, samples=30**3)
    assert whole.exhaustive and whole.sampled[3] == pytest.approx(whole.bits)
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_canary_never_trained_on_has_1_44_bits_on_average():
    model = Bigram(batches(NOISE), 50, LENGTH - 1)
    found = exposure(model, random_canaries(FORM, 400, seed=8), FORM, samples=3000)
    error = 1 / np.log(2) / np.sqrt(400)
    assert abs(np.mean(found.sampled) - 1 / np.log(2)) < 4 * error
    assert abs(np.mean(found.modelled) - 1 / np.log(2)) < 6 * error
    assert np.mean(np.array(found.sampled) > 3) == pytest.approx(1 / 8, abs=4 * np.sqrt(7 / 64 / 400))


def test_a_model_that_knows_nothing_exposes_nothing():
    found = exposure(Parrot(batches(NOISE), 50, 16), random_canaries(FORM, 3, seed=0), FORM, samples=100)
    assert found.sampled == (0.0, 0.0, 0.0)


def test_the_context_conditions_but_is_not_scored():
    model = Bigram(batches(NOISE), 50, LENGTH - 1)
    canaries = random_canaries(FORM, 5, seed=0)
    plain, behind = exposure(model, canaries, FORM), exposure(model, canaries, FORM, context=np.array([7, 8]))
    assert behind.sampled == pytest.approx(plain.sampled)  # to a bigram what is before does not matter


def test_wrong_input():
    canaries = random_canaries(FORM, 2, seed=0)
    for template, alphabet in (((1, 2), (3, 4)), ((None, 2), (3, 4)), ((1, None), (3,)), ((1, None), (3, 3))):
        with pytest.raises(InputError, match="canary"):
            CanaryFormat(template, alphabet)
    with pytest.raises(InputError, match="expected 1 to 3"):
        random_canaries(CanaryFormat((0, None), (1, 2, 3)), 4, seed=0)
    with pytest.raises(InputError, match="20 insertions"):
        CanaryWindows(NOISE, canaries, 10, 0, total=19)
    with pytest.raises(InputError, match="vocabulary"):
        CanaryWindows(Noise(20), canaries + 10, 1, 0, total=19)
    with pytest.raises(InputError, match="at most the window's 5"):
        CanaryWindows(NOISE, canaries, 1, 0, total=19).train_windows(0, 0, 1, 5)
    model = Bigram(batches(NOISE), 50, 4)
    with pytest.raises(InputError, match="windows of 6 tokens"):
        exposure(model, canaries, FORM, samples=10)
    with pytest.raises(InputError, match="fixed tokens"):
        exposure(model, canaries + 1, FORM)
    model.losses = lambda windows: np.full((len(windows), 5), np.nan)
    model.seqlen = 16
    with pytest.raises(InputError, match="finite"):
        exposure(model, canaries, FORM)
