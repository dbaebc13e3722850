"""Pairs of sequences for an encoder-decoder: ``builtin:numbers`` and ``builtin:dates``, ``builtin:signatures``.

Numbers 0 to 999,999 in English words become digits; dates from 1900 to 2099 in several written forms become ISO 8601.
An item (a number, a day) is held out by a hash of itself, in all of its forms: no held-out item is ever trained on.
Sentences of docstrings become names and arguments, held out by files. Both sides are characters of one vocabulary, which
is the source's own.
"""

import datetime
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from laimbench.data import signatures
from laimbench.errors import InputError

PAD, BEGIN, END = 0, 1, 2
HELD_OUT_SHARE = 0.05
MOST_VALIDATION = 2000  # of more than 3,600 held-out days and 49,000 numbers
CHARACTERS = " ',-0123456789" + "abcdefghijklmnopqrstuvwxyz"
ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]  # fmt: skip
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december"]  # fmt: skip
FIRST_DAY, LAST_DAY = datetime.date(1900, 1, 1).toordinal(), datetime.date(2099, 12, 31).toordinal()
DIGITS = 6


@dataclass(frozen=True)
class PairBatch:
    """Token ids, padded with PAD, and lengths without padding.

    source (B, S) ends in END; target (B, T) begins with BEGIN and ends in END: a decoder reads target[:, :-1] and is to
    say target[:, 1:].
    """

    source: np.ndarray
    source_lengths: np.ndarray
    target: np.ndarray
    target_lengths: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """An endless set of pairs; batches have one shape, so that a compiled model sees one.

    draw: gives an item. forms: how many ways an item is written. write: gives the texts of an item in a form.
    held_out: says whether an item is of the validation side. characters: the vocabulary, its ids follow END.
    most_validation: how many held-out items there are to ask for. content: a hash of what the pairs were read from, '' of drawn ones.
    """

    source: str
    max_source: int
    max_target: int
    draw: Callable[[np.random.Generator], int]
    forms: int
    write: Callable[[int, int], tuple[str, str]]
    held_out: Callable[[int], bool]
    characters: str = CHARACTERS
    most_validation: int = MOST_VALIDATION
    notes: tuple[str, ...] = ()
    content: str = ""

    @property
    def vocab_size(self) -> int:
        return END + 1 + len(self.characters)

    def train_batch(self, seed: int, step: int, count: int) -> PairBatch:
        """Return batch ``step`` of the run ``seed``; no held-out item is in it."""
        generator = np.random.default_rng((seed, 1, step))
        return self.encode([self.write(*self._item(generator, held_out=False)) for _ in range(count)])

    def validation_batch(self, first: int, count: int) -> PairBatch:
        """Return held-out pairs number ``first`` and on, the same for every run."""
        return self.encode(self.validation_texts(first, count))

    def validation_texts(self, first: int, count: int) -> list[tuple[str, str]]:
        """Return the same pairs as texts; no item comes twice.

        Raises:
            InputError: pairs beyond number ``most_validation``.
        """
        if first + count > self.most_validation:
            raise InputError(f"held-out pairs to number {first + count}, expected at most {self.most_validation}")
        return self._validation[first : first + count]

    def encode(self, texts: list[tuple[str, str]]) -> PairBatch:
        """Return texts as ids.

        Raises:
            InputError: a character outside the vocabulary, or a text that is too long.
        """
        sides = []
        for column, most, head in ((0, self.max_source, []), (1, self.max_target, [BEGIN])):
            rows = [[*head, *self._numbers(pair[column]), END] for pair in texts]
            ids, lengths = np.full((len(rows), most), PAD, dtype=np.int64), np.array([len(row) for row in rows])
            if lengths.max(initial=0) > most:
                raise InputError(f"a text of {lengths.max()} tokens, expected at most {most}")
            for i, row in enumerate(rows):
                ids[i, : len(row)] = row
            sides += [ids, lengths]
        return PairBatch(*sides)

    def decode(self, ids: np.ndarray) -> str:
        """Return the text of one row, up to its END; BEGIN and PAD are left out."""
        text = []
        for number in ids:
            if number == END:
                break
            if number > END:
                text.append(self.characters[number - END - 1])
        return "".join(text)

    @cached_property
    def _validation(self) -> list[tuple[str, str]]:
        generator = np.random.default_rng((0, 2, 0))
        found: dict[int, tuple[str, str]] = {}
        while len(found) < self.most_validation:
            item, form = self._item(generator, held_out=True)
            found.setdefault(item, self.write(item, form))
        return list(found.values())

    def _item(self, generator: np.random.Generator, held_out: bool) -> tuple[int, int]:
        """Return an item of one side and a form for it."""
        while self.held_out(item := self.draw(generator)) != held_out:
            pass
        return item, int(generator.integers(self.forms))

    def _numbers(self, text: str) -> list[int]:
        numbers = [self.characters.find(character) + END + 1 for character in text]
        if END in numbers:
            raise InputError(f"{text!r} holds {text[numbers.index(END)]!r}, expected one of {self.characters!r}")
        return numbers


def load_pairs(source: str) -> Pairs:
    """Return the pairs of ``builtin:numbers``, ``builtin:dates`` or ``builtin:signatures``.

    Raises:
        InputError: another source.
    """
    apart = partial(is_held_out, source)
    if source == "builtin:numbers":
        longest = len(number_words(777_777))  # seven is the longest one, seventy-seven the longest below a hundred
        return Pairs(source, longest + 1, DIGITS + 2, _draw_number, 1, lambda n, form: (number_words(n), str(n)), apart)
    if source == "builtin:dates":
        longest = max(len(write_date(day, form)[0]) for day in range(FIRST_DAY, FIRST_DAY + 366) for form in range(4))
        return Pairs(source, longest + 1, len("2000-01-01") + 2, _draw_day, 4, write_date, apart)
    if source == "builtin:signatures":
        return _signatures(source)
    raise InputError(f"data {source!r}: no pairs, expected builtin:numbers, builtin:dates or builtin:signatures")


def _signatures(source: str) -> Pairs:
    texts, held_out, notes, content = signatures.load_signatures()
    return Pairs(
        source,
        signatures.LONGEST + 1,
        signatures.LONGEST_TARGET + 2,
        lambda generator: int(generator.integers(len(texts))),
        1,
        lambda item, form: texts[item],
        held_out.__getitem__,
        signatures.CHARACTERS,
        sum(held_out),
        notes,
        content,
    )


def is_held_out(source: str, item: int) -> bool:
    """Return whether an item is of the validation side: by its own hash, a share of HELD_OUT_SHARE."""
    return int.from_bytes(hashlib.sha256(f"{source} {item}".encode()).digest()[:8]) < HELD_OUT_SHARE * 2**64


def number_words(number: int) -> str:
    """Return 0 to 999,999 in English words: "nine hundred twelve thousand forty-one"."""
    if number >= 1000:
        rest = number % 1000
        return f"{number_words(number // 1000)} thousand" + (f" {number_words(rest)}" if rest else "")
    if number >= 100:
        rest = number % 100
        return f"{ONES[number // 100]} hundred" + (f" {number_words(rest)}" if rest else "")
    if number >= 20:
        return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")
    return ONES[number]


def write_date(day: int, form: int) -> tuple[str, str]:
    """Return a day (a proleptic Gregorian ordinal) in words, in one of four forms, and in ISO 8601."""
    date = datetime.date.fromordinal(day)
    month, number, year = MONTHS[date.month - 1], date.day, date.year
    ending = "th" if 10 < number < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    written = (
        f"{number} {month} {year}",
        f"{month} {number}, {year}",
        f"the {number}{ending} of {month} {year}",
        f"{number} {month[:3]} '{year % 100:02}, {'nineteen' if year < 2000 else 'twenty'} hundreds",
    )
    return written[form], date.isoformat()


def _draw_number(generator: np.random.Generator) -> int:
    """As many of each number of digits: uniform numbers would nearly all have six."""
    digits = int(generator.integers(1, DIGITS + 1))
    return int(generator.integers(0 if digits == 1 else 10 ** (digits - 1), 10**digits))


def _draw_day(generator: np.random.Generator) -> int:
    return int(generator.integers(FIRST_DAY, LAST_DAY + 1))
