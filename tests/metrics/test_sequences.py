"""Sequences: against the textbook's table, known distances, and sacrebleu."""

import sys

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from laimbench.errors import InputError
from laimbench.metrics import sequences
from laimbench.metrics.sequences import bleu, bleu_of_weights, chrf, edit_distances, error_rate, exact_match

REFERENCES = ["The cat sat on the mat.", "It is raining, again.", "Nothing to see here at all"]
HYPOTHESES = ["The cat sat on a mat.", "It rains again.", "Nothing to see here at all"]


def textbook(a, b):
    """Return the distance by the table of Wagner & Fischer, cell by cell."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
    return row[-1]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.text("abc", max_size=12), st.text("abc", max_size=12)), max_size=8),
    st.sampled_from([1, 20, 1000]),
)
def test_distances_are_the_textbooks_however_pairs_are_batched(pairs, cells):
    references, hypotheses = [a for a, _ in pairs], [b for _, b in pairs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequences, "CELLS", cells)
        assert edit_distances(references, hypotheses).tolist() == [textbook(a, b) for a, b in pairs]


def test_known_distances_of_anything_hashable():
    assert edit_distances(["kitten", "", "flaw"], ["sitting", "abc", "flaw"]).tolist() == [3, 3, 0]
    assert edit_distances([["a", "b"], [1, 2, 3]], [["a", "c"], [3]]).tolist() == [1, 2]
    assert edit_distances([np.array([1, 2, 3])], [[1, 3]]).tolist() == [1]


def test_long_pairs_of_random_symbols():
    rng = np.random.default_rng(0)
    pairs = [rng.integers(0, 9, (2, n)) for n in (1, 50, 130)]
    assert edit_distances([p[0] for p in pairs], [p[1] for p in pairs]).tolist() == [
        textbook(*p.tolist()) for p in pairs
    ]


def test_error_rates_are_of_the_corpus():
    """Two words of six are wrong; the mean of the sentences' rates would be 0.75."""
    words = error_rate(["a", "b c d e f"], ["x", "b c d e y z"], "word")
    assert words.edits.tolist() == [1, 2] and words.lengths.tolist() == [1, 5] and words.rate == 0.5
    assert error_rate(["abcd"], ["abd"], "character").rate == 0.25
    assert error_rate([[1, 2]], [[1, 2, 3, 4, 5]], "symbol").rate == 1.5
    assert error_rate(["a b"], ["a   b\n"], "word").rate == 0 < error_rate(["a b"], ["a   b"], "character").rate


def test_exact_match_is_of_whole_sequences():
    found = exact_match(["ab", "ab", np.array([1, 2]), [1, 2]], ["ab", "abc", [1, 2], [2, 1]])
    assert found.tolist() == [True, False, True, False]


def test_bleu_and_chrf_are_sacrebleus_and_carry_its_signature():
    assert bleu(REFERENCES, HYPOTHESES).score == pytest.approx(sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score)
    assert chrf(REFERENCES, HYPOTHESES).score == pytest.approx(sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score)
    plus = sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES], word_order=2).score
    assert chrf(REFERENCES, HYPOTHESES, word_order=2).score == pytest.approx(plus)
    for part in ("nrefs:1", "case:mixed", "tok:char", "smooth:exp", f"version:{sacrebleu.__version__}"):
        assert part in bleu(REFERENCES, HYPOTHESES, tokenize="char").signature
    assert (
        "nc:6" in chrf(REFERENCES, HYPOTHESES).signature
        and "nw:2" in chrf(REFERENCES, HYPOTHESES, word_order=2).signature
    )
    assert bleu(REFERENCES, REFERENCES).score == pytest.approx(100)


@pytest.mark.parametrize("weights", [(1, 1, 1), (0, 3, 1), (2, 0, 0), (0, 1, 0)])
def test_bleu_of_weights_is_that_of_repeated_pairs(weights):
    """The second pair has no 4-gram right, so that smoothing is met as well."""
    rows = np.repeat(np.arange(3), weights)
    found = bleu_of_weights(REFERENCES, HYPOTHESES)(np.array(weights))
    assert found == pytest.approx(bleu([REFERENCES[i] for i in rows], [HYPOTHESES[i] for i in rows]).score)


def test_without_sacrebleu_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(InputError, match=r"pip install 'laimbench\[evaluation\]'"):
        bleu(REFERENCES, HYPOTHESES)


@pytest.mark.parametrize(
    ("call", "word"),
    [(lambda: edit_distances(["a"], []), "1 references and 0"), (lambda: error_rate(["a"], ["a"], "phone"), "unit"),
     (lambda: error_rate(["", ""], ["a", ""], "word"), "empty"), (lambda: error_rate([[1]], [[1]], "word"), "strings"),
     (lambda: exact_match(["a"], []), "1 references"), (lambda: bleu([], []), "no references"),
     (lambda: bleu(["a"], ["a"], tokenize="spaces"), "tokenize"), (lambda: chrf([["a"]], ["a"]), "strings"),
     (lambda: bleu_of_weights([], []), "no references")],
)  # fmt: skip
def test_wrong_input_is_named(call, word):
    with pytest.raises(InputError, match=word):
        call()
