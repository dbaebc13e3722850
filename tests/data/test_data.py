"""Data sources: split without leakage, cached and checked, wrong sources named."""

import numpy as np
import pytest

from laimbench.data import load_digits, load_tokens, unigram_entropy
from laimbench.data.corpus import load_corpus
from laimbench.data.text import cache_folder
from laimbench.errors import InputError


def test_no_file_is_in_both_splits_and_validation_is_a_share():
    corpus = load_corpus("builtin:python")
    names = {name for name, _ in corpus.documents}
    assert corpus.held_out < names and 0.03 < len(corpus.held_out) / len(names) < 0.08
    train, validation = (set(corpus.texts(side)) for side in (False, True))
    assert train and validation and not any("site-packages" in name or name.startswith("test/") for name in names)


def test_tokens_decode_to_the_training_text(corpus):
    from tokenizers import Tokenizer

    tokens = load_tokens(corpus, 300)
    tokenizer = Tokenizer.from_file(str(tokens.folder / "tokenizer.json"))
    text = "".join(load_corpus(corpus).texts(validation=False))
    assert tokenizer.decode(tokens.train.tolist(), skip_special_tokens=True) == text
    assert tokens.train.max() < tokens.vocab_size <= 300


def test_a_damaged_cache_is_made_again(corpus):
    tokens = load_tokens(corpus, 290)
    expected = np.array(tokens.train)
    path = tokens.folder / "train.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(content)
    load_tokens.cache_clear()
    assert np.array_equal(load_tokens(corpus, 290).train, expected)
    assert not list((cache_folder() / "tokens").glob(".*"))


def test_a_file_gives_its_tail_to_validation(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"line {i}\n" for i in range(500)))
    corpus = load_corpus(f"file:{path}")
    head, tail = ("".join(corpus.texts(side)) for side in (False, True))
    assert head + tail == path.read_text() and len(tail) > 100 and tail.startswith("line")


@pytest.mark.parametrize("source", ["builtin:latin", "file:/no/such", "dir:/no/such", "web:x", "", "file:"])
def test_unknown_sources_are_named(source):
    with pytest.raises(InputError, match="data"):
        load_corpus(source)


def test_empty_text_and_small_vocabularies_are_refused(tmp_path, corpus):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(InputError, match="bytes of text"):
        load_corpus(f"file:{tmp_path / 'empty.txt'}")
    with pytest.raises(InputError, match="vocab_size"):
        load_tokens(corpus, 100)


def test_digits_are_split_by_class():
    digits = load_digits()
    assert digits.train_x.shape[1] == 64 and len(digits.train_y) + len(digits.validation_y) == 1797
    assert set(digits.validation_y) == set(range(10)) and digits.train_x.max() <= 1
    seen = {row.tobytes() for row in digits.train_x}
    assert sum(row.tobytes() in seen for row in digits.validation_x) == 0


def test_unigram_entropy():
    assert unigram_entropy(np.array([0, 1, 2, 3])) == pytest.approx(np.log(4))
