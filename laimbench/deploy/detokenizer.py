"""Text out of tokens as they come: never half a character, and the same text as decoding all of them at once."""

from collections.abc import Sequence

from tokenizers import Tokenizer

INCOMPLETE = "\ufffd"  # how a decoded text ends while its last character lacks bytes
CONTEXT = 8  # tokens that are decoded again: some decoders treat the first one of a text in another way


class Detokenizer:
    """The text of one sequence that goes on from the tokens ``before``.

    A character may be spread over several tokens of byte-level BPE: its text is held back until it is whole. Bytes that
    are no UTF-8 at all come out as U+FFFD, once something valid follows them or with ``rest``.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int] = ()):
        self._tokenizer = tokenizer
        self._window, self._said = list(before[-CONTEXT:]), ""
        self._said = self._decoded()
        if self._said.endswith(INCOMPLETE):  # what comes could only be told apart from it by bytes
            self._window, self._said = [], ""

    def add(self, token: int) -> str:
        """Take the next token; return the text that is complete now."""
        self._window.append(token)
        text = self._decoded()
        if text.endswith(INCOMPLETE):
            return ""
        piece = text[len(self._said) :]
        self._said = text
        if len(self._window) > 2 * CONTEXT:
            del self._window[:-CONTEXT]
            self._said = self._decoded()
        return piece

    def rest(self) -> str:
        """Return what was held back; the sequence is over."""
        return self._decoded()[len(self._said) :]

    def _decoded(self) -> str:
        return self._tokenizer.decode(self._window, skip_special_tokens=True)
