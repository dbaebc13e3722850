"""Texts with a class each, as tokens: ``builtin:operators``, rows of JSON lines or CSV, text files in folders by class."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.data.cache import cached
from laimbench.data.corpus import TRAIN, VALIDATION, load_corpus
from laimbench.data.documents import Problem, read_documents
from laimbench.data.labelled import (
    ByClass,
    Labelled,
    build_sides,
    files_by_class,
    files_digest,
    hold_out,
    read_sides,
)
from laimbench.data.operators import CLASSES, padded, windows
from laimbench.data.operators import SOURCE as OPERATORS
from laimbench.data.rows import ROW_SUFFIXES, read_rows, rows_digest
from laimbench.data.special import SpecialIds
from laimbench.data.text import check_vocab_size, load_tokens
from laimbench.errors import InputError

FORMAT = 1  # of the cached files
LENGTHS = (4, 8192)
CHARACTERS_PER_TOKEN = 64  # of a text that are encoded at most: what lies behind would be cut anyway
BATCH = 512  # texts that are encoded at once


@dataclass(frozen=True)
class LabelledTexts(ByClass):
    """Texts of one length, each begun by cls and filled with pad; ``tokenizer`` is the path of the tokenizer.json.

    ``vocab_size`` is the tokenizer's; a model embeds ``special.total`` ids.
    """

    vocab_size: int
    length: int
    tokenizer: Path

    @property
    def special(self) -> SpecialIds:
        return SpecialIds(self.vocab_size)

    def at(self, side: Labelled, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return tokens (B, length) int64, their lengths (B,) without padding and labels (B,)."""
        return side.items[positions].astype(np.int64), side.lengths[positions], side.labels[positions]


@dataclass(frozen=True)
class _Texts:
    """What a source gives: ``read(held_out)`` yields class and text; ``digest`` covers texts, classes and sides."""

    classes: tuple[str, ...]
    digest: str
    read: Callable[[bool], Iterator[tuple[int, str]]]


def load_labelled_texts(source: str, vocab_size: int, tokenizer: str = "", length: int = 64) -> LabelledTexts:
    """Return the labelled texts of a source, from the cache when these very texts were tokenised before.

    Args:
        source: ``builtin:operators``; ``file:PATH`` of .jsonl, .ndjson or .csv (also .gz, .zst) with fields ``text`` and
            ``label``; ``dir:PATH`` with PATH/CLASS/*.txt.
        vocab_size: of the tokenizer that is trained on the training texts (for ``builtin:operators`` it is that of
            ``builtin:python``: a model pretrained there has the same ids); not used with ``tokenizer``.
        tokenizer: path of a tokenizer.json to use instead, that of pretraining.
        length: tokens of a text with its cls; what is longer is cut at its end.

    Raises:
        InputError: a bad source, tokenizer, vocabulary or length, or fewer than two classes.
    """
    from laimbench.data.tokenizer import read_tokenizer, vocabulary_size

    if not LENGTHS[0] <= length <= LENGTHS[1]:
        raise InputError(f"length is {length} tokens, expected {LENGTHS[0]} to {LENGTHS[1]}")
    problems: list[Problem] = []
    if source == OPERATORS:
        corpus = load_corpus("builtin:python")
        classes, digest = CLASSES, corpus.digest
        path = load_tokens("builtin:python", vocab_size, tokenizer).folder / "tokenizer.json"
    else:
        texts = _texts(source, problems)
        classes, digest = texts.classes, texts.digest
        path = Path(tokenizer) if tokenizer else _trained(texts, vocab_size)
    given, tokenizer_digest = read_tokenizer(path)
    given.encode_special_tokens = True  # a text that spells a special token does not forge one
    special = SpecialIds(vocabulary_size(given))

    def items(held_out: bool) -> Iterator[tuple[int, np.ndarray, int]]:
        if source == OPERATORS:
            return windows(corpus, given, special, length, VALIDATION if held_out else TRAIN)
        return _encoded(texts.read(held_out), given, special, length)

    kind = f"texts {length}"
    folder, meta = cached(
        "labelled",
        f"{kind} {FORMAT} {source == OPERATORS} {tokenizer_digest} {digest}",
        lambda fresh: build_sides(fresh, kind, np.int32, (length,), items, problems),
    )
    sets = read_sides(source, folder, meta, classes, "texts with labels")
    return LabelledTexts(source, sets, special.vocab_size, length, path)


def _texts(source: str, problems: list[Problem]) -> _Texts:
    kind, _, name = source.partition(":")
    if kind == "dir" and name:
        classes, files = files_by_class(source, (".txt",), problems.append)

        def read_files(held_out: bool) -> Iterator[tuple[int, str]]:
            for file in files:
                if file.held_out == held_out:
                    for piece in islice(read_documents(file.path, file.name, "", problems.append), 1):
                        if piece.whole:
                            yield file.label, piece.text

        return _Texts(classes, files_digest(files), read_files)
    if kind == "file" and name:
        return _rows(source, Path(name), problems)
    raise InputError(
        f"data {source!r}: no labelled texts, expected builtin:operators, file:PATH ({', '.join(ROW_SUFFIXES)}) or dir:PATH"
    )


def _rows(source: str, path: Path, problems: list[Problem]) -> _Texts:
    """Return the rows of a file: a fifth of every class is held out, by a hash of file name and line."""
    found = [(row.label, f"{path.name}:{row.line}") for row in read_rows(source, path, problems.append)]
    classes = tuple(sorted({label for label, _ in found}))
    if len(classes) < 2:
        first = f"; {problems[0]}" if problems else ""
        raise InputError(f"data {source!r}: {len(classes)} classes, expected rows of two or more{first}")
    sides = np.zeros(len(found), dtype=bool)
    labels = np.array([classes.index(label) for label, _ in found])
    for label in range(len(classes)):
        members = np.flatnonzero(labels == label)
        sides[members] = hold_out([found[i][1] for i in members])

    def read(held_out: bool) -> Iterator[tuple[int, str]]:
        count = 0
        for row in read_rows(source, path, lambda problem: None):  # problems were counted the first time
            if count < len(found) and sides[count] == held_out:
                yield int(labels[count]), row.text
            count += 1
        if count != len(found):
            raise InputError(f"data {source!r}: changed while it was read")

    return _Texts(classes, rows_digest(path), read)


def _trained(texts: _Texts, vocab_size: int) -> Path:
    """Return the tokenizer.json of a tokenizer trained on the training texts."""
    from laimbench.data.tokenizer import train_tokenizer

    check_vocab_size(vocab_size)

    def build(folder: Path) -> dict[str, Any]:
        train_tokenizer((text for _, text in texts.read(False)), vocab_size).save(str(folder / "tokenizer.json"))
        return {"vocab_size": vocab_size}

    return cached("tokenizers", f"{FORMAT} {vocab_size} {texts.digest}", build)[0] / "tokenizer.json"


def _encoded(
    texts: Iterator[tuple[int, str]], tokenizer: Any, special: SpecialIds, length: int
) -> Iterator[tuple[int, np.ndarray, int]]:
    while batch := list(islice(texts, BATCH)):
        cut = [text[: CHARACTERS_PER_TOKEN * length] for _, text in batch]
        for (label, _), encoded in zip(batch, tokenizer.encode_batch(cut, add_special_tokens=False), strict=True):
            ids = [special.cls, *encoded.ids][:length]
            yield label, padded(ids, special, length), len(ids)
