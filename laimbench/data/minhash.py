"""Near-duplicates by MinHash (Broder 1997): which held-out documents also stand, nearly, in the training text.

A document is the set of its runs of SHINGLE words (case folded, punctuation apart). A signature has HASHES minima from
one hash of each shingle (one permutation hashing: Li, Owen & Zhang 2012), empty bins filled by optimal densification
(Shrivastava 2017); the share of equal minima estimates the Jaccard similarity J. A pair is compared when it agrees in
all ROWS minima of one of BANDS bands, with probability 1 - (1 - J^4)^32: 0.9998 at J = 0.7 and more above; it counts as
near-duplicate when its estimate is at least THRESHOLD. The estimate's standard error at J = 0.7 is 0.04.
"""

import numpy as np

from laimbench.data.hashing import mix, stretch_hashes

SHINGLE, HASHES, BANDS, ROWS, THRESHOLD = 5, 128, 32, 4, 0.7
_BIN_SHIFT = np.uint64(64 - 7)  # the top 7 bits choose one of 128 bins
_EMPTY = np.uint64(2**64 - 1)
_PROBES = np.random.default_rng(128).integers(0, HASHES, (HASHES, 1000))  # where an empty bin looks, in this order
_FOLDED = np.array(
    [b + 32 if 65 <= b <= 90 else b if b >= 128 or chr(b).isalnum() or b == ord("_") else 0 for b in range(256)],
    dtype=np.uint64,
)


def signatures(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Return signatures (n, HASHES) uint64 and which texts have one (n,): those that hold a word."""
    blob = np.frombuffer(b"\0".join(texts) + b"\0", dtype=np.uint8)
    ends = np.cumsum([len(text) + 1 for text in texts])
    folded = _FOLDED[blob]
    inside = folded > 0
    starts = np.flatnonzero(inside & ~np.concatenate([[False], inside[:-1]]))
    minima = np.full((len(texts), HASHES), _EMPTY)
    if not len(starts):
        return minima, np.zeros(len(texts), dtype=bool)
    words, owner = stretch_hashes(folded, starts), np.searchsorted(ends, starts, side="right")
    shingles = words.copy()
    for k in range(1, min(SHINGLE, len(words))):  # a shingle at every word; behind the document's end is nothing
        same = owner[k:] == owner[:-k]
        shingles[:-k] += np.where(same, mix(words[k:] + np.uint64(k)), np.uint64(0))
    shingles = mix(shingles)
    np.minimum.at(minima.reshape(-1), owner * HASHES + (shingles >> _BIN_SHIFT).astype(np.int64), shingles)
    present = np.zeros(len(texts), dtype=bool)
    present[owner] = True
    _densify(minima, present)
    return minima, present


def _densify(minima: np.ndarray, present: np.ndarray) -> None:
    """Give every empty bin the minimum of the first full one among its probes: the same bins for all documents."""
    full = minima != _EMPTY
    rows, bins = np.nonzero(~full & present[:, None])
    for probe in range(_PROBES.shape[1]):
        if not len(rows):
            return
        source = _PROBES[bins, probe]
        found = full[rows, source]
        minima[rows[found], bins[found]] = minima[rows[found], source[found]]
        rows, bins = rows[~found], bins[~found]


class NearDuplicates:
    """An index of documents (by number) that tells which of them are near-duplicates of documents given later."""

    def __init__(self):
        self._signatures: list[np.ndarray] = []
        self._numbers: list[np.ndarray] = []
        self._keys: np.ndarray | None = None
        self.found: set[int] = set()

    def add(self, numbers: np.ndarray, minima: np.ndarray, present: np.ndarray) -> None:
        """Put documents into the index, by what ``signatures`` returned of them."""
        self._signatures.append(minima[present])
        self._numbers.append(numbers[present])
        self._keys = None

    def match(self, minima: np.ndarray, present: np.ndarray) -> None:
        """Note in ``found`` the numbers of indexed documents that one of these nearly repeats."""
        if self._keys is None:
            self._build()
        minima = minima[present]
        keys = _band_keys(minima).ravel()
        left = np.searchsorted(self._keys, keys, side="left")
        right = np.searchsorted(self._keys, keys, side="right")
        hits = np.flatnonzero(right > left)
        counts = (right - left)[hits]
        places = np.repeat(left[hits] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
        pairs = np.unique(np.stack([np.repeat(hits // BANDS, counts), self._owners[places]], axis=1), axis=0)
        for i in range(0, len(pairs), 4096):
            text, indexed = pairs[i : i + 4096].T
            near = (minima[text] == self._all[indexed]).mean(1) >= THRESHOLD
            self.found.update(self._documents[indexed[near]].tolist())

    def _build(self) -> None:
        self._all = np.concatenate([np.empty((0, HASHES), dtype=np.uint64), *self._signatures])
        self._documents = np.concatenate([np.empty(0, dtype=np.int64), *self._numbers])
        keys = _band_keys(self._all).ravel()
        order = np.argsort(keys, kind="stable")
        self._keys, self._owners = keys[order], order // BANDS


def _band_keys(minima: np.ndarray) -> np.ndarray:
    """Return (n, BANDS): a hash of each band's minima and of its place."""
    bands = minima.reshape(-1, BANDS, ROWS)
    key = np.broadcast_to(np.arange(BANDS, dtype=np.uint64), bands.shape[:2]).copy()
    for row in range(ROWS):
        key = mix(key * np.uint64(31) + bands[..., row])
    return key
