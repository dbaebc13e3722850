"""The tokenizer of a corpus: byte-level BPE trained on its training side (Sennrich et al. 2016), or one from a file."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

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
    except Exception as error:  # the library raises Exception itself
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


def _up_to(texts: Iterable[str], most: int) -> Iterator[str]:
    for text in texts:
        yield text
        most -= len(text)
        if most <= 0:
            return
