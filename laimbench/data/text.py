"""Tokens of a corpus: byte-level BPE trained on its training side only, kept in a cache, read by memory mapping."""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from laimbench.data.corpus import load_corpus
from laimbench.errors import InputError

FORMAT = 1  # of the cached files: raise it when their meaning changes
END_OF_DOCUMENT = "<|end|>"
BYTES = 256


@dataclass(frozen=True)
class Tokens:
    """A tokenised corpus: train and validation token streams (uint16 or uint32), documents ended by one end token."""

    source: str
    vocab_size: int
    train: np.ndarray
    validation: np.ndarray
    folder: Path  # holds tokenizer.json
    notes: tuple[str, ...] = ()

    def train_windows(self, seed: int, step: int, count: int, length: int) -> np.ndarray:
        """Return (count, length) int64: batch ``step`` of the run ``seed``, windows at random places."""
        self._check_length(self.train, "training", length)
        starts = np.random.default_rng((seed, step)).integers(0, len(self.train) - length + 1, count)
        return _windows(self.train, starts, length)

    def validation_windows(self, count: int, length: int) -> np.ndarray:
        """Return (up to count, length) int64: windows spread evenly, the same for every run."""
        self._check_length(self.validation, "validation", length)
        starts = np.unique(np.linspace(0, len(self.validation) - length, count).astype(np.int64))
        return _windows(self.validation, starts, length)

    def _check_length(self, stream: np.ndarray, side: str, length: int) -> None:
        if len(stream) < length:
            raise InputError(
                f"data {self.source!r}: {len(stream)} {side} tokens, expected more than seqlen {length - 1}"
            )


def _windows(stream: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    return stream[starts[:, None] + np.arange(length)].astype(np.int64)


def cache_folder() -> Path:
    """Return where corpora are cached: $LAIMBENCH_CACHE, or laimbench under $XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("LAIMBENCH_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "laimbench"


@lru_cache(maxsize=4)
def load_tokens(source: str, vocab_size: int) -> Tokens:
    """Return the tokens of a source, from the cache when these very documents were tokenised before.

    Raises:
        InputError: for a bad source, or a vocabulary that cannot hold the 256 bytes and the end token.
    """
    if not BYTES + 1 <= vocab_size <= 1 << 20:
        raise InputError(f"vocab_size is {vocab_size}, expected {BYTES + 1} to {1 << 20}")
    corpus = load_corpus(source)
    key = hashlib.sha256(f"{FORMAT} {vocab_size} {corpus.digest}".encode()).hexdigest()[:24]
    folder = cache_folder() / "tokens" / key
    if not _is_whole(folder):
        _build(corpus, vocab_size, folder)
    meta = json.loads((folder / "meta.json").read_text())
    train, validation = (
        np.load(folder / f"{side}.npy", mmap_mode="r", allow_pickle=False) for side in ("train", "validation")
    )
    return Tokens(source, meta["vocab_size"], train, validation, folder)


def _is_whole(folder: Path) -> bool:
    """A cached corpus counts only when every file has the checksum that was noted when it was written."""
    try:
        checksums = json.loads((folder / "meta.json").read_text())["sha256"]
        return all(_sha256(folder / name) == checksum for name, checksum in checksums.items())
    except (OSError, ValueError, KeyError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _build(corpus, vocab_size: int, folder: Path) -> None:
    """Tokenise into a fresh folder beside the final one and rename: two processes may do so at once, one wins."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus.texts(validation=False), trainer)
    end = tokenizer.token_to_id(END_OF_DOCUMENT)
    width = np.uint16 if tokenizer.get_vocab_size() <= 1 << 16 else np.uint32

    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for side, validation in (("train", False), ("validation", True)):
            encoded = tokenizer.encode_batch(list(corpus.texts(validation)), add_special_tokens=False)
            stream = [np.array([*document.ids, end], dtype=width) for document in encoded]
            np.save(fresh / f"{side}.npy", np.concatenate(stream), allow_pickle=False)
        tokenizer.save(str(fresh / "tokenizer.json"))
        names = ("train.npy", "validation.npy", "tokenizer.json")
        meta = {
            "source": corpus.source,
            "vocab_size": tokenizer.get_vocab_size(),
            "sha256": {name: _sha256(fresh / name) for name in names},
        }
        (fresh / "meta.json").write_text(json.dumps(meta, indent=2))
        if folder.exists():  # damaged, or another process was faster
            if _is_whole(folder):
                return
            shutil.rmtree(folder)
        try:
            fresh.rename(folder)
        except OSError:
            if not _is_whole(folder):
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def unigram_entropy(tokens: np.ndarray) -> float:
    """Return the entropy in nats per token of the tokens' own frequencies: what a model without context can reach."""
    counts = np.bincount(tokens)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
