"""Which verb of the command line a checkpoint fits, and the tokenizer that it brings."""

from pathlib import Path

from tokenizers import Tokenizer

from laimbench.data.tokenizer import read_tokenizer
from laimbench.errors import InputError
from laimbench.train.checkpoint import TOKENIZER, Checkpoint

TEXT_VERBS = ("generate", "serve")


def expect_verb(checkpoint: Checkpoint, verb: str) -> None:
    """Raise InputError, naming the verb that fits, where ``verb`` does not fit the checkpoint."""
    fitting = fitting_verb(checkpoint)
    if verb == fitting or (verb in TEXT_VERBS and fitting in TEXT_VERBS):
        return
    what = f"{checkpoint.folder}: `{verb}` does not fit a model of family {checkpoint.config.family}"
    if fitting is None:
        raise InputError(f"{what} trained on masked tokens; fine-tune it: "
                         f"laimbench train --family bert --objective classes --start {checkpoint.folder}")  # fmt: skip
    raise InputError(f"{what}, expected: laimbench {fitting} {checkpoint.folder}")


def fitting_verb(checkpoint: Checkpoint) -> str | None:
    """Return the verb for a checkpoint; None for a "bert" without classes, which says nothing by itself."""
    family, facts = checkpoint.config.family, checkpoint.facts
    if family == "bert":
        return "classify" if facts["classes"] else None
    if family == "audio":
        return "transcribe" if facts["ctc"] else "classify"
    return {"gpt": "generate", "transformer": "translate", "mlp": "classify", "vit": "classify"}[family]


def own_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Return the checkpoint's tokenizer; text that spells a special token does not forge one.

    Raises:
        InputError: the checkpoint has none, as after training on synthetic tokens.
    """
    path: Path | None = checkpoint.tokenizer_path
    if path is None:
        raise InputError(f"{checkpoint.folder}: has no {TOKENIZER}, expected a model trained on text")
    tokenizer, _ = read_tokenizer(path)
    tokenizer.encode_special_tokens = True
    return tokenizer


def check_text(text: str, what: str) -> None:
    """Raise InputError for a text with bytes that are not UTF-8, which the command line passes on as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{what} {text[:40]!r}: not UTF-8") from None
