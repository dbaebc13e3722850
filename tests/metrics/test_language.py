"""Language: identities, and a loop over positions."""

import math
import statistics

import numpy as np
import pytest

from laimbench.errors import InputError
from laimbench.metrics.language import bits_per_byte, loss_by_position, perplexity


def test_a_uniform_model_has_its_vocabulary_as_perplexity_and_its_bits():
    losses = np.full((3, 7), math.log(256))
    assert perplexity(losses) == pytest.approx(256)
    assert bits_per_byte(losses, 21) == pytest.approx(8)  # a token is a byte
    assert bits_per_byte(losses, 84) == pytest.approx(2)  # of four


def test_bits_per_byte_do_not_depend_on_how_text_is_cut():
    """A text of probability 2^-40 in 20 bytes, said in 4 tokens or in 10."""
    for tokens in (4, 10):
        assert bits_per_byte(np.full(tokens, 40 * math.log(2) / tokens), 20) == pytest.approx(2)


def test_an_impossible_token_is_infinitely_bad():
    assert perplexity([1.0, np.inf]) == np.inf and bits_per_byte([1.0, np.inf], 4) == np.inf


def test_loss_by_position_against_a_loop():
    losses = np.random.default_rng(0).gamma(2, size=(40, 6))
    mean, error = loss_by_position(losses)
    for position in range(6):
        column = losses[:, position].tolist()
        assert mean[position] == pytest.approx(statistics.mean(column))
        assert error[position] == pytest.approx(statistics.stdev(column) / math.sqrt(40))


@pytest.mark.parametrize(
    ("call", "word"),
    [(lambda: perplexity([]), "empty"), (lambda: perplexity([1.0, np.nan]), "1 NaN of 2"),
     (lambda: bits_per_byte([1.0], 0), "byte_count"), (lambda: bits_per_byte([1.0], math.nan), "byte_count"),
     (lambda: loss_by_position([[1.0, 2.0]]), "two windows"), (lambda: loss_by_position([1.0, 2.0]), "shape")],
)  # fmt: skip
def test_wrong_input_is_named(call, word):
    with pytest.raises(InputError, match=word):
        call()
