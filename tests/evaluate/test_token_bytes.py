"""The bytes of tokens: their sum over a tokenised text is the text's length in UTF-8; other kinds of tokenizers are told apart."""

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from laimbench.data import load_tokens
from laimbench.data.tokenizer import END_OF_DOCUMENT, token_bytes, train_tokenizer

TEXT = "def größe(x):\n\treturn '漢字 😀' + x  # naïve\r\n\n" * 3


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([TEXT, "plain words and more words"], 320)


@pytest.mark.parametrize("text", [TEXT, "", "\x00\x7f\u0080", "words", "𝔘𝔫𝔰𝔢𝔢𝔫 ß", " leading", "a" * 1000])
def test_the_sum_is_the_length_in_utf_8(tokenizer, text):
    assert token_bytes(tokenizer)[tokenizer.encode(text).ids].sum() == len(text.encode())


def test_the_end_of_a_document_is_no_text(tokenizer):
    found = token_bytes(tokenizer)
    assert found.shape == (tokenizer.get_vocab_size(),) and found[tokenizer.token_to_id(END_OF_DOCUMENT)] == 0
    assert (found == 0).sum() == 1


def test_a_sequence_of_cuts_and_added_tokens(tokenizer):
    other = Tokenizer.from_str(tokenizer.to_str())
    other.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    other.add_tokens(["größe"])
    assert other.token_to_id("größe") in other.encode(TEXT).ids
    assert token_bytes(other)[other.encode(TEXT).ids].sum() == len(TEXT.encode())


def test_tokenizers_whose_ids_are_not_bytes(tokenizer):
    parts = {"normalizer": normalizers.Lowercase(), "pre_tokenizer": pre_tokenizers.ByteLevel(add_prefix_space=True)}
    for name, part in parts.items():
        other = Tokenizer.from_str(tokenizer.to_str())
        setattr(other, name, part)
        assert token_bytes(other) is None
    words = Tokenizer(models.WordLevel({"<|end|>": 0, "word": 1, "[UNK]": 2}, unk_token="[UNK]"))
    assert token_bytes(words) is None
    few = Tokenizer(models.BPE({"<|end|>": 0, "a": 1}, []))
    few.pre_tokenizer, few.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    assert token_bytes(few) is None  # it would drop every other byte


def test_a_corpus_as_a_whole(corpus):
    data = load_tokens(corpus, 300)
    tokenizer = Tokenizer.from_file(str(data.folder / "tokenizer.json"))
    for stream, length in ((data.train, data.train_bytes), (data.validation, data.validation_bytes)):
        assert token_bytes(tokenizer)[np.asarray(stream)].sum() == length


def test_positions_are_of_documents(tmp_path):
    for i in range(60):
        (tmp_path / f"{i}.txt").write_text(f"text {i} " * (i + 5))
    data = load_tokens(f"dir:{tmp_path}", 300)
    tokens = np.asarray(data.validation)
    ends = np.flatnonzero(
        tokens == Tokenizer.from_file(str(data.folder / "tokenizer.json")).token_to_id(END_OF_DOCUMENT)
    )
    expected = [int((ends < position).sum()) for position in range(len(tokens))]
    assert data.validation_documents(np.arange(len(tokens))).tolist() == expected
    assert expected[-1] > 0 and expected[-1] == len(ends) - 1
