"""Ids of the tokens that an encoder needs beside a tokenizer's own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SpecialIds:
    """Ids behind a tokenizer's vocabulary, whose own ids stay what they are; an embedding needs ``total`` rows.

    mask: stands for a token that is to be said (BERT's [MASK], Devlin et al. 2019). cls: begins a sequence, its output
    stands for the whole. pad: fills a sequence up to a batch's length.
    """

    vocab_size: int

    @property
    def mask(self) -> int:
        return self.vocab_size

    @property
    def cls(self) -> int:
        return self.vocab_size + 1

    @property
    def pad(self) -> int:
        return self.vocab_size + 2

    @property
    def total(self) -> int:
        return self.vocab_size + 3
