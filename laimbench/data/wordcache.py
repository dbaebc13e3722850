"""Byte-level BPE at memory speed: a text is cut into words by array operations and known words are looked up.

BPE never merges across words, words repeat (Zipf), and the pattern that cuts a text is fixed (GPT-2's, in
``tokenizers.pre_tokenizers.ByteLevel``). So the library encodes each distinct word once; its ids are kept in a table
under the word's 64-bit hash. What the cut does is GPT-2's regular expression as a rule on neighbouring characters:

    's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+

Result: the same ids as the library's (tests hold it to that), several times as fast.
"""

import json
import threading
import unicodedata
from functools import lru_cache

import numpy as np
from tokenizers import Tokenizer

from laimbench.data.hashing import stretch_hashes

BORDER, LETTER, NUMBER, OTHER, SPACE, WHITE, UNKNOWN = range(7)  # kinds of characters; BORDER stands between texts
BORDER_CHARACTER = 0x110000  # no Unicode
WHITE_SPACE = (*range(9, 14), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
APOSTROPHE = ord("'")
ONE_LETTER = np.array([ord(c) for c in "stmd"])
TWO_LETTERS = tuple((ord(a), ord(b)) for a, b in ("re", "ve", "ll"))
SLOTS = 1 << 21  # of the table of words
MOST_WORDS = SLOTS // 4  # then a batch begins with an empty one
MOST_FILLED = SLOTS - SLOTS // 8  # a batch with more new words than that is left to the library


class WordCache:
    """Encodes batches of texts; may be shared by threads."""

    def __init__(self, tokenizer: Tokenizer, end: int, dtype: np.dtype | type):
        self.tokenizer, self.end, self.dtype = tokenizer, end, np.dtype(dtype)
        self._table = _Table(end, self.dtype)

    @staticmethod
    def serves(tokenizer: Tokenizer) -> bool:
        """Return whether this tokenizer cuts words as told above and does nothing else to a text."""
        parts = json.loads(tokenizer.to_str())
        cut, model = parts["pre_tokenizer"] or {}, parts["model"]
        return (
            parts["normalizer"] is None
            and cut.get("type") == "ByteLevel"
            and not cut["add_prefix_space"]
            and cut.get("use_regex", True)
            and model["type"] == "BPE"
            and not model.get("dropout")
            and all(token["special"] for token in parts["added_tokens"])
        )

    def encode(self, texts: list[str], ended: list[bool]) -> np.ndarray:
        """Return the ids of the texts one after the other, an end token behind those that are ``ended``."""
        border = BORDER_CHARACTER.to_bytes(4, "little")
        joined = border + b"".join(text.encode("utf-32-le") + border for text in texts) + 2 * border
        characters = np.frombuffer(joined, dtype="<u4")
        kinds = _kinds().take(characters)
        if (kinds == UNKNOWN).any():  # newer than this Python's Unicode: the library knows its own
            return encode_by_library(self.tokenizer, self.end, self.dtype, texts, ended)
        if self._table.words > MOST_WORDS:
            self._table = _Table(self.end, self.dtype)
        table = self._table
        starts = word_starts(characters, kinds)
        hashes = stretch_hashes(np.add(characters, 1, dtype=np.uint64), starts)
        hashes[hashes == 0] = 1  # 0 is an empty slot
        borders = np.flatnonzero(kinds[starts] == BORDER)
        hashes[borders] = hashes[borders[0]]  # whatever stands behind the last one
        slots = table.find(hashes)
        missing = slots == NOWHERE
        missing[borders] = False
        if missing.any():
            _, first = np.unique(hashes[missing], return_index=True)
            new = np.flatnonzero(missing)[first]
            ends = np.append(starts[1:], len(characters))[new]
            words = [joined[4 * s : 4 * e].decode("utf-32-le") for s, e in zip(starts[new], ends, strict=True)]
            ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(words, add_special_tokens=False)]
            if not table.insert(hashes[new].tolist(), ids):
                return encode_by_library(self.tokenizer, self.end, self.dtype, texts, ended)
            slots[missing] = table.find(hashes[missing])
        slots[borders] = NOTHING
        slots[borders[1:][np.array(ended, dtype=bool)]] = AN_END  # the first border is before the first text
        return table.ids(slots)


def encode_by_library(tokenizer: Tokenizer, end: int, dtype, texts: list[str], ended: list[bool]) -> np.ndarray:
    """Return what ``WordCache.encode`` returns, for any tokenizer."""
    encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    parts = [[*encoding.ids, end] if last else encoding.ids for encoding, last in zip(encoded, ended, strict=True)]
    return np.concatenate([np.array(part, dtype=dtype) for part in parts])


def word_starts(characters: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Return where words begin; the array ends in two borders or more, which are one word with the last text's border.

    A word begins where the kind changes, and: one space belongs to the word behind it; of several white characters
    before a word the last is apart from the others; an apostrophe that begins a word may be a contraction.
    """
    runs = np.where(kinds == WHITE, SPACE, kinds)
    begins = np.empty(len(kinds), dtype=bool)
    begins[0] = True
    begins[1:] = runs[1:] != runs[:-1]
    begins[1:-2] |= runs[1:-2] == BORDER  # empty texts: borders in a row
    behind_white = (runs[1:] != SPACE) & (runs[1:] != BORDER) & (runs[:-1] == SPACE)  # at i: about character i + 1
    begins[:-1] |= behind_white
    begins[1:] &= ~(behind_white & (kinds[:-1] == SPACE))
    marks = np.flatnonzero(begins & (characters == APOSTROPHE))
    first, second = characters[marks + 1], characters[marks + 2]
    length = np.isin(first, ONE_LETTER).astype(np.int64)
    for a, b in TWO_LETTERS:
        length[(first == a) & (second == b)] = 2
    marks, length = marks[length > 0], length[length > 0]
    begins[marks + 1] = False
    after = marks + length + 1
    # white space and borders behind it begin a word by themselves, and a space there belongs to the word behind it
    begins[after] |= runs[after] != SPACE
    return np.flatnonzero(begins)


@lru_cache(maxsize=1)
def _kinds() -> np.ndarray:
    """Return the kind of every character, by its number."""
    of_category = {"L": LETTER, "N": NUMBER}
    kinds = np.full(BORDER_CHARACTER + 1, OTHER, dtype=np.uint8)
    for number in range(BORDER_CHARACTER):
        category = unicodedata.category(chr(number))
        if category == "Cn":
            kinds[number] = UNKNOWN
        elif category[0] in of_category:
            kinds[number] = of_category[category[0]]
    kinds[list(WHITE_SPACE)] = WHITE
    kinds[32], kinds[BORDER_CHARACTER] = SPACE, BORDER
    return kinds


NOWHERE, NOTHING, AN_END = -1, SLOTS, SLOTS + 1  # slots that stand for no word, no ids, the end token


class _Table:
    """Ids of words under their hashes: open addressing, searched for all words of a batch at once.

    Only ``insert`` writes, one thread at a time, and a hash is put in after what it stands for.
    """

    def __init__(self, end: int, dtype: np.dtype):
        self.words = 0
        self._hashes = np.zeros(SLOTS, dtype=np.uint64)
        self._offsets, self._counts = np.zeros(SLOTS + 2, dtype=np.int64), np.zeros(SLOTS + 2, dtype=np.int32)
        self._pool = np.full(1 << 16, end, dtype=dtype)
        self._used = self._counts[AN_END] = 1
        self._lock = threading.Lock()

    def find(self, hashes: np.ndarray) -> np.ndarray:
        """Return the slot of each hash, or NOWHERE."""
        slots = self._home(hashes)
        found = self._hashes[slots]
        slots[found == 0] = NOWHERE
        open_ones = np.flatnonzero((found != hashes) & (found != 0))
        while len(open_ones):
            slots[open_ones] = (slots[open_ones] + 1) % SLOTS
            found = self._hashes[slots[open_ones]]
            slots[open_ones[found == 0]] = NOWHERE
            open_ones = open_ones[(found != hashes[open_ones]) & (found != 0)]
        return slots

    def insert(self, hashes: list[int], ids: list[list[int]]) -> bool:
        """Put words in, unless another thread did; return whether there was room."""
        with self._lock:
            if self.words + len(hashes) > MOST_FILLED:
                return False
            added = [np.array(word, dtype=self._pool.dtype) for word in ids]
            block = np.concatenate(added)
            if self._used + len(block) > len(self._pool):
                room = np.empty(2 * (self._used + len(block)), dtype=self._pool.dtype)
                room[: self._used] = self._pool[: self._used]
                self._pool = room
            self._pool[self._used : self._used + len(block)] = block
            place, stored = self._used, self._hashes
            self._used += len(block)
            for number, word in zip(hashes, ids, strict=True):
                slot = number >> (64 - SLOTS.bit_length() + 1)
                while (known := int(stored[slot])) and known != number:
                    slot = (slot + 1) % SLOTS
                if not known:
                    self._offsets[slot], self._counts[slot] = place, len(word)
                    stored[slot] = number
                    self.words += 1
                place += len(word)
            return True

    def ids(self, slots: np.ndarray) -> np.ndarray:
        """Return the ids of the words in these slots, one after the other."""
        counts = self._counts[slots]
        ends = np.cumsum(counts, dtype=np.int64)
        shift = self._offsets[slots] - (ends - counts)
        return self._pool[np.repeat(shift, counts) + np.arange(ends[-1])]

    @staticmethod
    def _home(hashes: np.ndarray) -> np.ndarray:
        return (hashes >> np.uint64(64 - SLOTS.bit_length() + 1)).astype(np.int64)
