"""Tokens of a corpus: byte-level BPE trained on its training side only, or a given tokenizer; cached, memory-mapped."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.data.cache import cached
from laimbench.data.corpus import BROKEN, REPEATED, TRAIN, VALIDATION, Corpus, load_corpus
from laimbench.data.documents import Piece
from laimbench.data.shards import Shards, ShardWriter
from laimbench.data.threads import in_threads
from laimbench.errors import InputError

FORMAT = 2  # of the cached files: raise it when their meaning changes
BYTES = 256
BATCH_CHARACTERS = 1 << 18  # small enough for a cache, large enough for array operations
PROBLEMS_KEPT = 100  # of those left out, in meta.json


@dataclass(frozen=True)
class Tokens:
    """A tokenised corpus: train and validation token streams (uint16 or uint32), documents ended by one end token.

    ``validation_bytes`` over the validation tokens turns nats per token into bits per byte. ``notes`` are lines for the
    user about what was left out; ``folder`` holds tokenizer.json and meta.json with all of it.
    """

    source: str
    vocab_size: int
    train: Shards
    validation: Shards
    folder: Path
    train_bytes: int
    validation_bytes: int
    notes: tuple[str, ...] = ()

    @property
    def content(self) -> str:
        """A hash of the names and contents of the texts and of the tokenizer."""
        return self.folder.name

    def train_windows(self, seed: int, step: int, count: int, length: int) -> np.ndarray:
        """Return (count, length) int64: batch ``step`` of the run ``seed``, windows at random places."""
        self._check_length(self.train, "training", length)
        starts = np.random.default_rng((seed, step)).integers(0, len(self.train) - length + 1, count)
        return _windows(self.train, starts, length)

    def validation_windows(self, count: int, length: int) -> np.ndarray:
        """Return (up to count, length) int64: windows spread evenly, the same for every run."""
        return _windows(self.validation, self.validation_starts(count, length), length)

    def validation_starts(self, count: int, length: int) -> np.ndarray:
        """Return (up to count,) int64: where these windows begin in the validation stream."""
        self._check_length(self.validation, "validation", length)
        return np.unique(np.linspace(0, len(self.validation) - length, count).astype(np.int64))

    @property
    def document_end(self) -> int:
        """The token behind each document."""
        from laimbench.data.tokenizer import end_token, read_tokenizer

        return end_token(read_tokenizer(self.folder / "tokenizer.json")[0], "tokenizer")

    def validation_documents(self, positions: np.ndarray) -> np.ndarray:
        """Return which document of the validation side the tokens at these positions belong to: numbers from 0 on."""
        end = self.document_end
        sizes = [0, *(len(part) for part in self.validation.parts[:-1])]
        ends = [
            np.flatnonzero(part == end) + first
            for part, first in zip(self.validation.parts, np.cumsum(sizes), strict=True)
        ]
        return np.searchsorted(np.concatenate(ends), positions)

    def _check_length(self, stream: Shards, side: str, length: int) -> None:
        if len(stream) < length:
            raise InputError(
                f"data {self.source!r}: {len(stream)} {side} tokens, expected more than seqlen {length - 1}"
            )


def _windows(stream: Shards, starts: np.ndarray, length: int) -> np.ndarray:
    return stream[starts[:, None] + np.arange(length)].astype(np.int64)


@lru_cache(maxsize=4)
def load_tokens(source: str, vocab_size: int, tokenizer: str = "", field: str = "text") -> Tokens:
    """Return the tokens of a source, from the cache when these very documents were tokenised before.

    Args:
        source: ``builtin:python``, ``file:PATH`` or ``dir:PATH``.
        vocab_size: of the tokenizer that is trained on the training documents; not used with ``tokenizer``.
        tokenizer: path of a tokenizer.json to use instead.
        field: key or column of the text in JSON lines and tables.

    Raises:
        InputError: for a bad source or tokenizer, or a vocabulary that cannot hold the 256 bytes and the end token.
    """
    from laimbench.data.tokenizer import read_tokenizer

    given = digest = None
    if tokenizer:
        given, digest = read_tokenizer(Path(tokenizer))
    else:
        check_vocab_size(vocab_size)
    corpus = load_corpus(source, field)
    identity = f"{FORMAT} {digest or vocab_size} {corpus.digest}"
    folder, meta = cached("tokens", identity, lambda fresh: _build(corpus, vocab_size, given, fresh))
    train, validation = (Shards(folder, side) for side in ("train", "validation"))
    return Tokens(source, meta["vocab_size"], train, validation, folder, meta["train_bytes"], meta["validation_bytes"],
                  tuple(meta["notes"]))  # fmt: skip


def check_vocab_size(vocab_size: int) -> None:
    """Raise InputError for a vocabulary that cannot hold the 256 bytes and the end token."""
    if not BYTES + 1 <= vocab_size <= 1 << 20:
        raise InputError(f"vocab_size is {vocab_size}, expected {BYTES + 1} to {1 << 20}")


def _build(corpus: Corpus, vocab_size: int, tokenizer: Any, folder: Path) -> dict[str, Any]:
    from laimbench.data.tokenizer import end_token, train_tokenizer, vocabulary_size

    split = corpus.split
    if tokenizer is None:
        tokenizer = train_tokenizer(corpus.texts(validation=False), vocab_size)
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True  # a text that spells a special token does not forge one
    largest = vocabulary_size(tokenizer)
    dtype = np.uint16 if largest <= 1 << 16 else np.uint32
    bytes_of = {}
    for side, number in (("train", TRAIN), ("validation", VALIDATION)):
        writer = ShardWriter(folder, side, dtype)
        pieces = _Counted(corpus.pieces(number))
        for ids in encode_pieces(tokenizer, end_token(tokenizer, "tokenizer"), dtype, pieces):
            writer.append(ids)
        writer.close()
        bytes_of[side] = pieces.bytes
    counts = {name: int((split.sides == side).sum()) for name, side in
              (("train", TRAIN), ("validation", VALIDATION), ("repeated", REPEATED), ("broken", BROKEN))}  # fmt: skip
    return {
        "source": corpus.source,
        "vocab_size": largest,
        "train_bytes": bytes_of["train"],
        "validation_bytes": bytes_of["validation"],
        "documents": counts,
        "repeated": {"exact": split.repeated[0], "near": split.repeated[1]},
        "problems": {"count": len(split.problems), "first": [asdict(p) for p in split.problems[:PROBLEMS_KEPT]]},
        "notes": list(split.notes),
    }


class _Counted:
    """Pieces, and how many bytes of text went by."""

    def __init__(self, pieces: Iterable[Piece]):
        self._pieces, self.bytes = pieces, 0

    def __iter__(self) -> Iterator[Piece]:
        for piece in self._pieces:
            self.bytes += len(piece.text) if piece.text.isascii() else len(piece.text.encode())
            yield piece


def encode_pieces(tokenizer: Any, end: int, dtype: type, pieces: Iterable[Piece]) -> Iterator[np.ndarray]:
    """Return the ids of pieces in their order, batch by batch, an end token behind each document."""
    from laimbench.data.wordcache import WordCache, encode_by_library

    if WordCache.serves(tokenizer):
        encode = WordCache(tokenizer, end, dtype).encode
    else:

        def encode(texts: list[str], ended: list[bool]) -> np.ndarray:
            return encode_by_library(tokenizer, end, dtype, texts, ended)

    return in_threads(lambda batch: encode(*batch), _batches(pieces))


def _batches(pieces: Iterable[Piece]) -> Iterator[tuple[list[str], list[bool]]]:
    texts, ended, size = [], [], 0
    for piece in pieces:
        texts.append(piece.text)
        ended.append(piece.last)
        size += len(piece.text)
        if size >= BATCH_CHARACTERS:
            yield texts, ended
            texts, ended, size = [], [], 0
    if texts:
        yield texts, ended


def unigram_entropy(tokens: np.ndarray | Shards) -> float:
    """Return the entropy in nats per token of the tokens' own frequencies: what a model without context can reach."""
    parts = tokens.parts if isinstance(tokens, Shards) else [tokens]
    size = max(int(part.max(initial=0)) for part in parts) + 1
    counts = sum(np.bincount(part, minlength=size) for part in parts)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
