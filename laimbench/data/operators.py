"""``builtin:operators``: which operator is blanked out in a window of the standard library's code.

After the wrong-binary-operator task of Kanade et al. 2020 (CuBERT). The documents are on the sides that ``builtin:python``
gives them: who pretrains on its training tokens has not seen the held-out ones.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from laimbench.data.corpus import TRAIN, VALIDATION, Corpus
from laimbench.data.special import SpecialIds
from laimbench.data.stdlib import modules

OPERATORS = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.Gt: ">", ast.LtE: "<=", ast.GtE: ">=", ast.In: "in",
    ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not", ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/",
    ast.Mod: "%", ast.And: "and", ast.Or: "or",
}  # fmt: skip
CLASSES = tuple(OPERATORS.values())
SOURCE = "builtin:operators"
MOST = {TRAIN: 1500, VALIDATION: 75}  # of a class: frequent ones are cut to this
CHARACTERS_PER_TOKEN = 8  # that are encoded for a window: more than twice what tokens of code have on average
BATCH = 512  # texts that are encoded at once
BETWEEN = re.compile(r"[\s)\\]*(not\s+in|is\s+not|[=!<>]=|[<>+\-*/%]|in|is|and|or)[\s(\\]*")


@dataclass(frozen=True)
class Blank:
    """An operator, as a class, with the text before and behind it."""

    label: int
    before: str
    behind: str


def find_operators(text: str, tree: ast.AST) -> Iterator[tuple[int, int, int]]:
    """Yield start, stop (characters) and class of the operators between two operands.

    Those with a comment beside them are left out, and those in f-strings, which have no places of their own everywhere.
    """
    lines = text.split("\n")
    begins = np.cumsum([0, *(len(line) + 1 for line in lines)])

    def place(line: int, column: int) -> int:  # a tree counts bytes
        written = lines[line - 1]
        return int(begins[line - 1]) + (column if written.isascii() else len(written.encode()[:column].decode()))

    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.JoinedStr):
            continue
        waiting += ast.iter_child_nodes(node)
        for operator, left, right in _operations(node):
            start = place(left.end_lineno, left.end_col_offset)
            match = BETWEEN.fullmatch(text, start, place(right.lineno, right.col_offset))
            if match and " ".join(match[1].split()) == OPERATORS[type(operator)]:
                yield match.start(1), match.end(1), CLASSES.index(OPERATORS[type(operator)])


def _operations(node: ast.AST) -> Iterator[tuple[ast.AST, ast.expr, ast.expr]]:
    """Yield the operators of a node, each with its operands, of those that are classes."""
    if isinstance(node, ast.BinOp):
        found = [(node.op, node.left, node.right)]
    elif isinstance(node, ast.BoolOp):
        found = [(node.op, left, right) for left, right in zip(node.values, node.values[1:], strict=False)]
    elif isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        found = list(zip(node.ops, operands, node.comparators, strict=False))
    else:
        found = []
    return (entry for entry in found if type(entry[0]) in OPERATORS)


def choose_blanks(corpus: Corpus, side: int, length: int) -> list[Blank]:
    """Return the operators of one side, at most MOST of a class: those whose place's hash is smallest."""
    reach = CHARACTERS_PER_TOKEN * length // 2
    by_class: list[list[tuple[bytes, Blank]]] = [[] for _ in CLASSES]
    for module in modules(corpus, side):
        for start, stop, label in find_operators(module.text, module.tree):
            first = max(0, start - reach)
            line = module.text.find("\n", first, start) + 1 if first else 0
            # the space around it is the author's style, which gives some operators away
            before = module.text[line or first : start].rstrip(" \t\r\n\\")
            behind = " " + module.text[stop : stop + reach].lstrip(" \t\r\n\\")
            rank = hashlib.sha256(f"{module.name}:{start}".encode()).digest()
            by_class[label].append((rank, Blank(label, before, behind)))
    return [blank for found in by_class for _, blank in sorted(found, key=lambda entry: entry[0])[: MOST[side]]]


def windows(
    corpus: Corpus, tokenizer: Any, special: SpecialIds, length: int, side: int
) -> Iterator[tuple[int, np.ndarray, int]]:
    """Yield class, ids (length,) and length without padding: cls, tokens before, mask, tokens behind.

    The mask is in the middle, or nearer to the beginning where a document begins.
    """
    blanks = choose_blanks(corpus, side, length)
    for first in range(0, len(blanks), BATCH):
        batch = blanks[first : first + BATCH]
        before = tokenizer.encode_batch([blank.before for blank in batch], add_special_tokens=False)
        behind = tokenizer.encode_batch([blank.behind for blank in batch], add_special_tokens=False)
        for blank, left, right in zip(batch, before, behind, strict=True):
            ids = [special.cls, *left.ids[-((length - 2) // 2) :], special.mask, *right.ids][:length]
            yield blank.label, padded(ids, special, length), len(ids)


def padded(ids: list[int], special: SpecialIds, length: int) -> np.ndarray:
    """Return ids (length,), filled with padding."""
    row = np.full(length, special.pad, dtype=np.int32)
    row[: len(ids)] = ids
    return row
