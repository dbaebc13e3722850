"""Data sources: split without leakage, cached and checked, wrong sources named."""

import gzip

import numpy as np
import pytest

from laimbench.data import load_digits, load_tokens, unigram_entropy
from laimbench.data.cache import cache_folder
from laimbench.data.corpus import REPEATED, TRAIN, VALIDATION, load_corpus
from laimbench.errors import InputError


def names(corpus, side):
    return [piece.name for piece in corpus.pieces(side) if piece.last]


def test_no_file_is_in_both_splits_and_validation_is_a_share():
    corpus = load_corpus("builtin:python")
    train, held_out, repeated = (names(corpus, side) for side in (TRAIN, VALIDATION, REPEATED))
    everything = train + held_out + repeated
    assert len(set(everything)) == len(everything) and 0.03 < len(held_out) / len(everything) < 0.08
    assert not any("site-packages" in name or name.startswith("test/") for name in everything)
    assert len(held_out) + len(repeated) == round(0.05 * len(everything))


def test_tokens_decode_to_the_training_text(corpus):
    from tokenizers import Tokenizer

    tokens = load_tokens(corpus, 300)
    tokenizer = Tokenizer.from_file(str(tokens.folder / "tokenizer.json"))
    train = np.asarray(tokens.train)
    text = "".join(load_corpus(corpus).texts(validation=False))
    assert tokenizer.decode(train.tolist(), skip_special_tokens=True) == text
    assert train.max() < tokens.vocab_size <= 300 and tokens.train_bytes == len(text.encode())
    assert (train == tokenizer.token_to_id("<|end|>")).sum() == len(names(load_corpus(corpus), TRAIN))


def test_a_damaged_cache_is_made_again(corpus):
    tokens = load_tokens(corpus, 290)
    expected = np.array(tokens.train)
    path = tokens.folder / "train-00000.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(content)
    load_tokens.cache_clear()
    assert np.array_equal(load_tokens(corpus, 290).train, expected)
    assert not list((cache_folder() / "tokens").glob(".*"))


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_gives_its_tail_to_validation(tmp_path, packed):
    text = "".join(f"line {i} é\n" for i in range(500))
    path = tmp_path / ("text.txt.gz" if packed else "text.txt")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    corpus = load_corpus(f"file:{path}")
    head, tail = ("".join(corpus.texts(side)) for side in (False, True))
    assert head + tail == text and 0.04 < len(tail) / len(text) < 0.06 and tail.startswith("line")


def test_a_file_without_lines_is_cut_between_characters(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("é" * 999 + "ab")
    corpus = load_corpus(f"file:{path}")
    head, tail = ("".join(corpus.texts(side)) for side in (False, True))
    assert head + tail == path.read_text() and tail.endswith("ab") and "\ufffd" not in head + tail


@pytest.mark.parametrize("source", ["builtin:latin", "file:/no/such", "dir:/no/such", "web:x", "", "file:"])
def test_unknown_sources_are_named(source):
    with pytest.raises(InputError, match="data"):
        load_corpus(source)


def test_empty_text_and_small_vocabularies_are_refused(tmp_path, corpus):
    (tmp_path / "empty.txt").write_text("")
    for source in (f"file:{tmp_path / 'empty.txt'}", f"dir:{tmp_path}"):
        with pytest.raises(InputError, match="bytes of text"):
            load_tokens(source, 300)
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
