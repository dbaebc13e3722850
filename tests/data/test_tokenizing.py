"""Near-duplicates against exact Jaccard, the fast encoder against the library, shards against one array."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from laimbench.data import load_tokens
from laimbench.data import wordcache as cache_module
from laimbench.data.minhash import HASHES, SHINGLE, NearDuplicates, signatures
from laimbench.data.shards import Shards, ShardWriter
from laimbench.data.tokenizer import END_OF_DOCUMENT, train_tokenizer
from laimbench.data.wordcache import WordCache, encode_by_library
from laimbench.errors import InputError

ALPHABET = "stmdrevelLAT' \n\t\r1٣²Ⅷé中़\u0301\u00a0\u2003\u0085\x1c\x1f.,!_-<|>end😀\u0378"


@pytest.fixture(scope="module")
def tokenizer():
    trained = train_tokenizer([f"they're {i} of us; she'll say 'it's fine'\n\n  x = {i}\n" for i in range(300)], 400)
    trained.encode_special_tokens = True
    return trained


@pytest.fixture(scope="module")
def encoder(tokenizer):
    return WordCache(tokenizer, tokenizer.token_to_id(END_OF_DOCUMENT), np.uint16)


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(st.one_of(st.text(ALPHABET, max_size=30), st.text(max_size=20)), min_size=1, max_size=5),
    data=st.data(),
)
def test_the_fast_encoder_is_the_library(encoder, tokenizer, texts, data):
    ended = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    expected = encode_by_library(tokenizer, encoder.end, np.uint16, texts, ended)
    assert encoder.encode(texts, ended).tolist() == expected.tolist()


def test_every_character_is_of_the_librarys_kind(encoder, tokenizer):
    """Two of a kind, with a letter and a digit around: the cut shows the kind. All characters that this Python knows."""
    known = [
        c
        for c in map(chr, [*range(0xD800), *range(0xE000, 0x30000)])
        if cache_module._kinds()[ord(c)] != cache_module.UNKNOWN
    ]
    texts = ["".join(f"a{c}{c}a1{c}1!{c}! {c}" for c in known[i::40]) for i in range(0, 40, 8)]
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    for text in texts:
        characters = np.array([ord(c) for c in "\0" + text + "\0\0\0"], dtype=np.uint32)
        characters[[0, -3, -2, -1]] = cache_module.BORDER_CHARACTER
        starts = cache_module.word_starts(characters, cache_module._kinds()[characters])
        expected = [span[0] for _, span in cut.pre_tokenize_str(text)]
        assert (starts[1 : len(expected) + 1] - 1).tolist() == expected


def test_a_text_that_spells_the_end_token_does_not_forge_one(encoder):
    ids = encoder.encode([f"a {END_OF_DOCUMENT} b"], [True])
    assert (ids == encoder.end).sum() == 1 and ids[-1] == encoder.end


def test_a_full_table_begins_anew_or_leaves_it_to_the_library(tokenizer, monkeypatch):
    monkeypatch.setattr(cache_module, "MOST_WORDS", 50)
    encoder = WordCache(tokenizer, 0, np.uint16)
    texts = [" ".join(f"w{i}x{k}" for i in range(60)) for k in range(6)]
    tables = set()
    for text in texts:
        assert (
            encoder.encode([text], [True]).tolist()
            == encode_by_library(tokenizer, 0, np.uint16, [text], [True]).tolist()
        )
        tables.add(id(encoder._table))
    assert len(tables) > 1
    monkeypatch.setattr(cache_module, "MOST_FILLED", 10)
    encoder = WordCache(tokenizer, 0, np.uint16)
    assert (
        encoder.encode(texts, [True] * 6).tolist()
        == encode_by_library(tokenizer, 0, np.uint16, texts, [True] * 6).tolist()
    )
    assert encoder._table.words == 0


def test_other_tokenizers_are_not_taken_for_it(tokenizer):
    assert WordCache.serves(tokenizer)
    for change in (
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": None},
    ):
        other = Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str()) | change))
        assert not WordCache.serves(other)


def test_a_given_tokenizer_is_used(tmp_path, corpus):
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "</s>": 7, "def": 1, "return": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    words.save(str(path))
    tokens = load_tokens(corpus, 0, tokenizer=str(path))
    assert tokens.vocab_size == 8 and set(np.asarray(tokens.train)) == {0, 1, 2, 7}
    again = load_tokens(corpus, 300)
    given_again = load_tokens(corpus, 0, tokenizer=str(again.folder / "tokenizer.json"))
    assert np.array_equal(again.train, given_again.train) and np.array_equal(again.validation, given_again.validation)


def test_wrong_tokenizers_are_named(tmp_path, corpus):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(InputError, match=r"tokenizer\.json: cannot be read"):
        load_tokens(corpus, 300, tokenizer=str(path))
    for content in (b"{}", b"\xff", b"[" * 10_000, b""):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"tokenizer\.json: not a tokenizer"):
            load_tokens(corpus, 300, tokenizer=str(path))
    Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(path))
    with pytest.raises(InputError, match="ends a document"):
        load_tokens(corpus, 300, tokenizer=str(path))


def shingles(text):
    words = text.split()
    return {tuple(words[i : i + SHINGLE]) for i in range(len(words))}


def test_signatures_estimate_the_jaccard_similarity():
    generator = np.random.default_rng(0)
    for length in (6, 30, 400, 4000):
        errors = []
        for _ in range(40):
            words = generator.integers(0, 5000, length).astype(str)
            other = np.where(generator.random(length) < generator.choice([0.01, 0.05, 0.2]), "other", words)
            a, b = " ".join(words), " ".join(other)
            exact = len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))
            (first, second), present = signatures([a.encode(), b.encode()])
            assert present.all()
            errors.append((first == second).mean() - exact)
        errors = np.array(errors)
        assert abs(errors.mean()) < 0.03 and errors.std() < 2.0 * np.sqrt(0.25 / HASHES)


def test_near_duplicates_are_found_and_others_are_not():
    generator = np.random.default_rng(1)
    texts = [" ".join(generator.integers(0, 3000, 300).astype(str)) for _ in range(50)]
    index = NearDuplicates()
    index.add(np.arange(50) * 10, *signatures([text.encode() for text in texts]))
    index.add(np.array([7000, 7001]), *signatures([b"", b"?!"]))  # no words: never near
    near = [" ".join([*text.split()[:290], "changed"]).upper() + "!" for text in texts[:5]]
    far = [" ".join(np.where(generator.random(300) < 0.3, "x", text.split())) for text in texts[5:10]]
    index.match(*signatures([text.encode() for text in [*near, *far, "", "?!", "new words only here and now"]]))
    assert index.found == {0, 10, 20, 30, 40}


def test_shards_are_one_array(tmp_path):
    values = np.random.default_rng(0).integers(0, 60_000, 1050).astype(np.uint16)
    writer = ShardWriter(tmp_path, "train", np.uint16, shard_bytes=200)
    for first in range(0, 1050, 70):
        writer.append(values[first : first + 70])
    writer.close()
    assert len(list(tmp_path.iterdir())) == 11 and writer.length == 1050
    shards = Shards(tmp_path, "train")
    positions = np.random.default_rng(1).integers(0, 1050, (20, 30))
    assert len(shards) == 1050 and np.array_equal(shards[positions], values[positions])
    assert np.array_equal(shards, values) and np.array_equal(shards[95:305], values[95:305])
    ShardWriter(tmp_path, "none", np.uint16).close()
    assert len(Shards(tmp_path, "none")) == 0 and np.asarray(Shards(tmp_path, "none")).dtype == np.uint16
