"""The tokenizer of a corpus: byte-level BPE trained on its training side (Sennrich et al. 2016), or one from a file."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from laimbench.errors import InputError

END_OF_DOCUMENT = "<|end|>"
KNOWN_ENDS = (END_OF_DOCUMENT, "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]", "<sep>")
TRAINING_BYTES = 256 << 20  # of text that a tokenizer is trained on: more changes no merge that matters
LARGEST_FILE = 256 << 20


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train byte-level BPE with the 256 bytes and END_OF_DOCUMENT in the vocabulary, on the first TRAINING_BYTES."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_up_to(texts, TRAINING_BYTES), trainer)
    return tokenizer


def read_tokenizer(path: Path) -> tuple[Tokenizer, str]:
    """Return the tokenizer of a tokenizer.json and the file's SHA-256.

    Raises:
        InputError: no such file, not a tokenizer, or one without a token to end documents with.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"tokenizer {path}: more than {LARGEST_FILE} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"tokenizer {path}: cannot be read ({error.strerror})") from None
    try:
        tokenizer = Tokenizer.from_str(content.decode())
    except BaseException as error:  # the library raises Exception itself, and where it panics what is none
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(f"tokenizer {path}: not a tokenizer.json ({str(error).splitlines()[0]})") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    end_token(tokenizer, f"tokenizer {path}")
    return tokenizer, hashlib.sha256(content).hexdigest()


def end_token(tokenizer: Tokenizer, where: str) -> int:
    """Return the id of the token that ends a document."""
    for token in KNOWN_ENDS:
        if (number := tokenizer.token_to_id(token)) is not None:
            return number
    raise InputError(f"{where}: no token that ends a document, expected one of {', '.join(KNOWN_ENDS)}")


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """Return the rows that an embedding of its ids needs: one more than the largest."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1


def token_bytes(tokenizer: Tokenizer) -> np.ndarray | None:
    """Return (V,) int64: the bytes of text that each id stands for, 0 for special tokens, or None where ids do not stand for bytes.

    In byte-level BPE (Radford et al. 2019) every byte is a character of its own, so that the characters of a token are its bytes,
    whole UTF-8 characters or not. None: another kind of tokenizer, one that changes the text before it cuts it (a normalizer, a
    space put before it), or one whose vocabulary lacks a byte and drops it from texts.
    """
    parts = json.loads(tokenizer.to_str())
    cuts, vocabulary = _members(parts["pre_tokenizer"]), parts["model"].get("vocab")
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    if parts["model"]["type"] != "BPE" or parts["normalizer"] is not None or not alphabet <= vocabulary.keys():
        return None
    if not any(cut["type"] == "ByteLevel" for cut in cuts) or any(cut.get("add_prefix_space") for cut in cuts):
        return None
    found = np.zeros(vocabulary_size(tokenizer), dtype=np.int64)
    for token, number in vocabulary.items():
        found[number] = len(token)
    for added in parts["added_tokens"]:  # these are written as they are
        found[added["id"]] = 0 if added["special"] else len(added["content"].encode())
    found[end_token(tokenizer, "tokenizer")] = 0
    return found


def _members(pre_tokenizer: dict | None) -> list[dict]:
    """Return the parts of a pre-tokenizer, which may be a sequence of them."""
    if pre_tokenizer is None:
        return []
    if pre_tokenizer["type"] == "Sequence":
        return [one for part in pre_tokenizer["pretokenizers"] for one in _members(part)]
    return [pre_tokenizer]


def _up_to(texts: Iterable[str], most: int) -> Iterator[str]:
    for text in texts:
        yield text
        most -= len(text)
        if most <= 0:
            return
