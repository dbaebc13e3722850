"""``builtin:signatures``: from what a function's docstring says to its name and arguments, of the standard library.

The source is the docstring's first sentence, the target ``name(argument, …)`` without self and cls: short names, but they are
to be found in words that need not hold them. (Barone & Sennrich 2017 pair docstrings with declarations and bodies.)
"""

import ast
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from laimbench.data.cache import cached
from laimbench.data.corpus import TRAIN, VALIDATION, load_corpus
from laimbench.data.stdlib import modules

FORMAT = 1  # of the cached files
CHARACTERS = "".join(map(chr, range(32, 127)))
SHORTEST, LONGEST = 10, 120  # characters of a sentence
LONGEST_TARGET = 60
HELD_OUT_SHARE = 0.15  # of files
SENTENCE = re.compile(r"(.+?[.!?])(?:\s|$)")


def load_signatures() -> tuple[list[tuple[str, str]], list[bool], tuple[str, ...], str]:
    """Return pairs of sentence and signature, whether each is held out, notes on what was left out, and a hash of what was read."""
    corpus = load_corpus("builtin:python")
    folder, meta = cached("pairs", f"signatures {FORMAT} {corpus.digest}", lambda fresh: _build(corpus, fresh))
    rows = json.loads((folder / "pairs.json").read_text())
    return (
        [(row["sentence"], row["signature"]) for row in rows],
        [row["held_out"] for row in rows],
        tuple(meta["notes"]),
        folder.name,
    )


def _build(corpus, folder: Path) -> dict[str, Any]:
    """Write the pairs: training first, so that of a sentence found on both sides training has the one that is kept."""
    found: list[tuple[bool, str, str, str]] = []
    unusable = repeated = 0
    for side in (TRAIN, VALIDATION):
        for module in modules(corpus, side):
            held_out = side == VALIDATION or is_held_out(module.name)
            for node in ast.walk(module.tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
                    pair = pair_of(node, text)
                    unusable += pair is None
                    found += [(held_out, module.name, *pair)] if pair else []
    rows: dict[str, dict[str, Any]] = {}
    for held_out, name, sentence, signature in sorted(found, key=lambda entry: entry[0]):
        repeated += sentence in rows
        rows.setdefault(sentence, {"sentence": sentence, "signature": signature, "file": name, "held_out": held_out})
    (folder / "pairs.json").write_text(json.dumps(list(rows.values()), indent=0))
    return {
        "notes": [f"left out: {repeated} repeated sentences, {unusable} docstrings that are no short ASCII sentence"]
    }


def is_held_out(file: str) -> bool:
    """Return whether a file's functions are held out, by a hash of its name; what ``builtin:python`` holds out is, too."""
    return int.from_bytes(hashlib.sha256(file.encode()).digest()[:8]) < HELD_OUT_SHARE * 2**64


def pair_of(function: ast.FunctionDef | ast.AsyncFunctionDef, docstring: str) -> tuple[str, str] | None:
    """Return the first sentence and the signature, or None: too short or long, not ASCII, or it gives the call itself."""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    match = SENTENCE.match(paragraph)
    sentence = match[1] if match else paragraph
    given = function.args
    names = [argument.arg for argument in given.posonlyargs + given.args]
    names = names[1:] if names[:1] in (["self"], ["cls"]) else names
    names += [f"*{given.vararg.arg}"] if given.vararg else []
    names += [argument.arg for argument in given.kwonlyargs]
    names += [f"**{given.kwarg.arg}"] if given.kwarg else []
    signature = f"{function.name}({', '.join(names)})"
    usable = (
        SHORTEST <= len(sentence) <= LONGEST
        and len(signature) <= LONGEST_TARGET
        and sentence.isascii()
        and sentence.isprintable()
        and signature.isascii()
        and f"{function.name}(" not in sentence
    )
    return (sentence, signature) if usable else None
