"""Text in, text out: a GPT checkpoint with its own tokenizer, for batches of prompts, all at once or piece by piece."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch

from laimbench.data.tokenizer import end_token
from laimbench.deploy.detokenizer import Detokenizer
from laimbench.deploy.fitting import check_text, expect_verb, own_tokenizer
from laimbench.deploy.stops import StopStrings
from laimbench.errors import InputError
from laimbench.models.decoding import Sampling, stream
from laimbench.train.checkpoint import Checkpoint

CHARACTERS_PER_TOKEN = 64  # of a prompt that are encoded at most: what lies before them would be cut anyway
SMALL = 5_000_000  # parameters: 10 MFLOPs a token, a tenth of a millisecond of one core


@dataclass(frozen=True)
class Prompt:
    """What a model is to continue. cut: whether these are only the last of the prompt's tokens."""

    tokens: tuple[int, ...]
    cut: bool = False

    @property
    def note(self) -> str:
        """A line for the user about a cut prompt, else empty."""
        return f"the prompt is too long: its last {len(self.tokens)} tokens are used" if self.cut else ""


@dataclass(frozen=True)
class Piece:
    """What a step adds to the text of prompt number ``row``: "" while a character or a stop string may be incomplete.

    tokens: said so far, without the end of the document. finish_reason: with the last piece of a row "stop" (the model
    ended the document, or a stop string came) or "length" (of new tokens, or of the model's context).
    """

    row: int
    text: str
    tokens: int
    finish_reason: str | None = None


@dataclass(frozen=True)
class Completion:
    """The whole text that continues a prompt; see ``Piece``."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    note: str = ""


class Generator:
    """Continues texts by a checkpoint of family "gpt".

    Raises:
        InputError: another family, or a checkpoint without a tokenizer.
    """

    def __init__(self, checkpoint: Checkpoint):
        expect_verb(checkpoint, "generate")
        self.model, self.tokenizer = checkpoint.model, own_tokenizer(checkpoint)
        self.end = end_token(self.tokenizer, str(checkpoint.tokenizer_path))

    @property
    def threads(self) -> int:
        """How many threads a token is worth: in a small model they wait for each other longer than they work."""
        small = sum(p.numel() for p in self.model.parameters()) < SMALL
        return 1 if small else torch.get_num_threads()

    @property
    def context(self) -> int:
        """The most tokens that the model reads, prompt and new ones together."""
        return self.model.config.seqlen

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text: none of them special, whatever it spells.

        Raises:
            InputError: text that is not UTF-8.
        """
        check_text(text, "prompt")
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def prompt(self, text: str, new_tokens: int) -> Prompt:
        """Return a text as a prompt that leaves room for ``new_tokens``, or for half the context where they are more.

        Where it does not fit its last tokens are kept. An empty one is the end of a document, after which one begins.
        """
        room = max(self.context - new_tokens, (self.context + 1) // 2)
        tail = text[-CHARACTERS_PER_TOKEN * self.context :]
        tokens = self.encode(tail) or [self.end]
        return Prompt(tuple(tokens[-room:]), len(tokens) > room or len(tail) < len(text))

    def stream(
        self, prompts: Sequence[Prompt], new_tokens: int, sampling: Sampling | None = None, stop: Sequence[str] = ()
    ) -> Iterator[list[Piece]]:
        """Yield, token by token, the pieces of all prompts that are not finished; joined by row they are the texts.

        Each prompt has random numbers of its own; it is continued as it would be alone, with the seed ``seed + row``.

        Raises:
            InputError: new_tokens below 1, an empty stop string, a prompt longer than the context.
        """
        if new_tokens < 1:
            raise InputError(f"new_tokens is {new_tokens}, expected 1 or more")
        rows = [_Row(self, number, prompt, new_tokens, stop) for number, prompt in enumerate(prompts)]
        with closing(stream(self.model, [list(p.tokens) for p in prompts], new_tokens, sampling, self.end)) as steps:
            for step in steps:
                yield [row.add(token) for row, token in zip(rows, step, strict=True) if not row.finished]
                if all(row.finished for row in rows):
                    return

    def generate(
        self, texts: Sequence[str], new_tokens: int, sampling: Sampling | None = None, stop: Sequence[str] = ()
    ) -> list[Completion]:
        """Return what continues each text; see ``prompt`` and ``stream``."""
        prompts = [self.prompt(text, new_tokens) for text in texts]
        said: list[list[Piece]] = [[] for _ in prompts]
        for step in self.stream(prompts, new_tokens, sampling, stop):
            for piece in step:
                said[piece.row].append(piece)
        return [completion(prompt, pieces) for prompt, pieces in zip(prompts, said, strict=True)]


def completion(prompt: Prompt, pieces: list[Piece]) -> Completion:
    """Return all pieces of one prompt as one."""
    last = pieces[-1]
    text = "".join(piece.text for piece in pieces)
    return Completion(text, last.finish_reason, len(prompt.tokens), last.tokens, prompt.note)


class _Row:
    """One prompt's text as it grows."""

    def __init__(self, generator: Generator, number: int, prompt: Prompt, new_tokens: int, stop: Sequence[str]):
        self.finished, self._number, self._count, self._end = False, number, 0, generator.end
        # The token that is said last is never read: it may lie one behind the context.
        self._most = min(new_tokens, generator.context + 1 - len(prompt.tokens))
        self._detokenizer = Detokenizer(generator.tokenizer, prompt.tokens)
        self._stops = StopStrings(stop)

    def add(self, token: int) -> Piece:
        text, stopped, ended = "", False, token == self._end
        if not ended:
            self._count += 1
            text, stopped = self._stops.add(self._detokenizer.add(token))
        if not stopped and (ended or self._count == self._most):
            rest, stopped = self._stops.add(self._detokenizer.rest())
            text += rest if stopped else rest + self._stops.rest()
            self.finished = True
        self.finished = self.finished or stopped
        reason = "stop" if stopped or ended else "length"
        return Piece(self._number, text, self._count, reason if self.finished else None)
