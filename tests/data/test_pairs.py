"""Pairs from exact generators: right by a reader of their own, held-out items apart."""

import ast
import datetime

import numpy as np
import pytest

from laimbench.data import load_pairs, signatures
from laimbench.data.corpus import VALIDATION, load_corpus
from laimbench.data.pairs import BEGIN, END, FIRST_DAY, LAST_DAY, PAD, is_held_out, number_words, write_date
from laimbench.data.signatures import pair_of
from laimbench.errors import InputError

VALUES = {word: value for value, word in enumerate(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"])} | {word: 10 * value for value, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)}  # fmt: skip


def read_words(text):
    total = part = 0
    for word in text.replace("-", " ").split():
        if word == "hundred":
            part *= 100
        elif word == "thousand":
            total, part = total + 1000 * part, 0
        else:
            part += VALUES[word]
    return total + part


def test_number_words_say_the_number():
    numbers = [*range(2000), *np.random.default_rng(0).integers(0, 1_000_000, 3000).tolist(), 999_999, 100_000, 1_000]
    assert all(read_words(number_words(number)) == number for number in numbers)
    assert len({number_words(number) for number in numbers}) == len(set(numbers))
    assert number_words(912_041) == "nine hundred twelve thousand forty-one"


def test_dates_are_those_days():
    for day in np.random.default_rng(0).integers(FIRST_DAY, LAST_DAY + 1, 500).tolist():
        date = datetime.date.fromordinal(day)
        for form, pattern in enumerate(("%d %B %Y", "%B %d, %Y")):
            written, iso = write_date(day, form)
            assert datetime.datetime.strptime(written, pattern).date() == date and iso == date.isoformat()
        assert len({write_date(day, form) for form in range(4)}) == 4


@pytest.mark.parametrize("source", ["builtin:numbers", "builtin:dates"])
def test_batches_are_reproduced_and_held_out_items_are_apart(source):
    pairs = load_pairs(source)
    batch, again = pairs.train_batch(3, 5, 64), load_pairs(source).train_batch(3, 5, 64)
    assert all(np.array_equal(a, b) for a, b in zip(vars(batch).values(), vars(again).values(), strict=True))
    assert batch.source.shape == (64, pairs.max_source) and batch.target.shape == (64, pairs.max_target)
    assert (batch.target[:, 0] == BEGIN).all() and batch.source.max() < pairs.vocab_size
    for ids, lengths in ((batch.source, batch.source_lengths), (batch.target, batch.target_lengths)):
        rows = np.arange(64)
        assert (ids[rows, lengths - 1] == END).all() and ((ids == PAD).sum(1) == ids.shape[1] - lengths).all()
    trained = {pairs.decode(row) for step in range(40) for row in pairs.train_batch(0, step, 64).target}
    texts = pairs.validation_texts(0, 300)
    assert not trained & {target for _, target in texts} and len({target for _, target in texts}) == 300
    held_out = pairs.validation_batch(100, 50)
    assert [(pairs.decode(s), pairs.decode(t)) for s, t in zip(held_out.source, held_out.target, strict=True)] == texts[
        100:150
    ]


def test_a_twentieth_is_held_out_and_every_text_fits():
    assert np.mean([is_held_out("builtin:numbers", n) for n in range(20_000)]) == pytest.approx(0.05, abs=0.006)
    numbers, dates = load_pairs("builtin:numbers"), load_pairs("builtin:dates")
    numbers.encode([(number_words(n), str(n)) for n in range(0, 1_000_000, 997)])
    numbers.encode([(number_words(777_777), "777777")])
    dates.encode([write_date(day, form) for day in range(FIRST_DAY, LAST_DAY, 13) for form in range(4)])


def test_wrong_pairs_are_named():
    with pytest.raises(InputError, match="builtin:words"):
        load_pairs("builtin:words")
    with pytest.raises(InputError, match="é"):
        load_pairs("builtin:numbers").encode([("é", "1")])
    with pytest.raises(InputError, match="2000"):
        load_pairs("builtin:dates").validation_batch(1990, 11)
    with pytest.raises(InputError, match="tokens"):
        load_pairs("builtin:numbers").encode([("1" * 100, "1")])


def test_signatures_are_what_a_function_is_called_with():
    code = '''
class A:
    async def fetch_all(self, url, /, *more, limit=3, **options) -> int:
        """Fetch what is
        at an address. And more."""
    def b(cls): "Say ß in one sentence."
    def c(x): "c(x) -> the same as d."
    def d(x): "Short."
    def e(x): "No full stop is here\\n\\nmore"
'''
    functions = ast.parse(code).body[0].body
    assert [pair_of(function, ast.get_docstring(function)) for function in functions] == [
        ("Fetch what is at an address.", "fetch_all(url, *more, limit, **options)"), None, None, None,
        ("No full stop is here", "e(x)"),
    ]  # fmt: skip


def test_no_file_and_no_sentence_of_signatures_is_on_both_sides(small_library):
    pairs = load_pairs("builtin:signatures")
    texts, held_out, notes, _ = signatures.load_signatures()
    assert len({sentence for sentence, _ in texts}) == len(texts) > 200 and sum(held_out) == pairs.most_validation > 10
    sources = {path.name: path.read_text() for path in small_library.glob("*.py")}
    apart = {piece.name for piece in load_corpus("builtin:python").pieces(VALIDATION)}
    apart |= {file for file in sources if signatures.is_held_out(file)}
    known = 0
    for (_, signature), out in zip(texts, held_out, strict=True):
        name = signature.split("(")[0]
        files = [file for file, text in sources.items() if f"def {name}(" in text]
        if len(files) == 1:
            known += 1
            assert (files[0] in apart) == out
    assert known > 200
    trained = {pairs.decode(row) for step in range(20) for row in pairs.train_batch(0, step, 64).source}
    asked = {sentence for sentence, _ in pairs.validation_texts(0, pairs.most_validation)}
    assert len(asked) == pairs.most_validation and not trained & asked and len(trained) > 100
    batch = pairs.train_batch(0, 0, 8)
    assert batch.source.shape == (8, pairs.max_source) and batch.target.shape == (8, pairs.max_target)
    assert pairs.vocab_size == 98 and notes[0].startswith("left out:")
    again = load_pairs("builtin:signatures").train_batch(0, 0, 8)
    assert np.array_equal(again.source, batch.source) and np.array_equal(again.target, batch.target)
    with pytest.raises(InputError, match="held-out pairs"):
        pairs.validation_batch(pairs.most_validation, 1)


def test_the_vocabulary_of_exact_pairs_is_what_it_was():
    assert [load_pairs(f"builtin:{name}").vocab_size for name in ("numbers", "dates")] == [43, 43]
    assert load_pairs("builtin:numbers").encode([("a", "9")]).source[0, :2].tolist() == [17, END]
