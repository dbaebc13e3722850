"""The standard library's source as syntax trees: parsed, never imported or run."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from laimbench.data.corpus import Corpus


@dataclass(frozen=True)
class Module:
    """A document that is Python source, and its tree."""

    name: str
    text: str
    tree: ast.Module


def modules(corpus: Corpus, side: int) -> Iterator[Module]:
    """Yield the documents on one side of a corpus's split that this interpreter can parse."""
    parts: list[str] = []
    for piece in corpus.pieces(side):
        parts.append(piece.text)
        if piece.last:
            text, parts = "".join(parts), []
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of escapes in old modules
                    tree = ast.parse(text)
            except (SyntaxError, ValueError, RecursionError):  # templates, or nested too deeply
                continue
            yield Module(piece.name, text, tree)
