"""How far predicted sequences are from the references: edit distance, error rates, exact match, BLEU and chrF.

Arguments are (references, hypotheses), one reference for each hypothesis.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from laimbench.errors import InputError

UNITS = ("character", "word", "symbol")
CELLS = 1 << 18  # of a row of the tables that are filled together: they stay in a cache


@dataclass(frozen=True)
class ErrorRate:
    """Edits and reference lengths of each pair, (n,) int64. The rate is that of the corpus, not the mean of the pairs' rates."""

    edits: np.ndarray
    lengths: np.ndarray

    @property
    def rate(self) -> float:
        return float(self.edits.sum() / self.lengths.sum())


@dataclass(frozen=True)
class CorpusScore:
    """A score from 0 to 100, and sacrebleu's signature: what has to be stated for it to be compared."""

    score: float
    signature: str


def edit_distances(references: Sequence[Any], hypotheses: Sequence[Any]) -> np.ndarray:
    """Return (n,) int64: the fewest insertions, deletions and substitutions between the two of each pair.

    Source: Levenshtein 1966, by the table of Wagner & Fischer 1974, of many pairs at once, a row at a time. Within a row,
    d[j] = min(t[j], d[j-1] + 1), t the best by deletion or substitution, is j + the running minimum of t[j] - j.

    Args:
        references, hypotheses: n sequences each, of anything hashable; of a string the symbols are its characters.

    Raises:
        InputError: a different number of references and hypotheses.
    """
    _check_pairs(references, hypotheses)
    numbers: dict[Any, int] = {}
    left = [_numbered(sequence, numbers) for sequence in references]
    right = [_numbered(sequence, numbers) for sequence in hypotheses]
    lengths = np.array([(len(a), len(b)) for a, b in zip(left, right, strict=True)], dtype=np.int64).reshape(-1, 2)
    found = np.empty(len(left), dtype=np.int64)
    order = np.lexsort((lengths[:, 0], lengths[:, 1]))  # alike in length, so that little is padding
    first = 0
    while first < len(order):
        # The longest hypothesis of a batch is its last.
        widths = (lengths[order[first:], 1] + 1) * np.arange(1, len(order) - first + 1)
        batch = order[first : first + max(1, int(np.searchsorted(widths, CELLS, side="right")))]
        found[batch] = _distances([left[i] for i in batch], [right[i] for i in batch], lengths[batch])
        first += len(batch)
    return found


def _numbered(sequence: Any, numbers: dict[Any, int]) -> np.ndarray:
    if isinstance(sequence, np.ndarray):
        sequence = sequence.tolist()
    return np.array([numbers.setdefault(symbol, len(numbers)) for symbol in sequence], dtype=np.int32)


def _distances(left: list[np.ndarray], right: list[np.ndarray], lengths: np.ndarray) -> np.ndarray:
    """Return the distances of pairs; rows of the table go along left, a pair's distance is read in the row of its last symbol."""
    pairs, (rows, columns) = len(left), lengths.max(0)
    a, b = np.full((rows, pairs, 1), -1, dtype=np.int32), np.full((pairs, columns), -1, dtype=np.int32)
    for i in range(pairs):
        a[: len(left[i]), i, 0] = left[i]
        b[i, : len(right[i])] = right[i]
    places = np.arange(columns + 1, dtype=np.int32)
    # Kept is d[j] - j: an insertion adds nothing to it, a deletion 1, and a diagonal step -1 on equal symbols, else 0.
    table = np.zeros((pairs, columns + 1), dtype=np.int32)
    found = lengths[:, 1].copy()
    for row in range(rows):
        step = table[:, :-1] - (b == a[row])
        table += 1
        np.minimum(table[:, 1:], step, out=table[:, 1:])
        np.minimum.accumulate(table, axis=1, out=table)
        ended = np.flatnonzero(lengths[:, 0] == row + 1)
        found[ended] = table[ended, lengths[ended, 1]] + places[lengths[ended, 1]]
    return found


def error_rate(references: Sequence[Any], hypotheses: Sequence[Any], unit: str) -> ErrorRate:
    """Return edits and reference lengths: ``.rate`` is total edits / total reference length, and above 1 where much is inserted.

    Args:
        references, hypotheses: n strings each; of unit "symbol", n sequences of anything hashable.
        unit: "character" (CER, over Unicode code points as they are, spaces included), "word" (WER, words between white
            space; no change of case or punctuation), "symbol".

    Raises:
        InputError: another unit, a different number of references and hypotheses, references that are all empty.
    """
    if unit not in UNITS:
        raise InputError(f"unit is {unit!r}, expected one of {', '.join(UNITS)}")
    _check_pairs(references, hypotheses)
    if unit != "symbol" and not all(isinstance(text, str) for side in (references, hypotheses) for text in side):
        raise InputError(f"references and hypotheses of unit {unit!r} are expected to be strings")
    if unit == "word":
        references, hypotheses = [text.split() for text in references], [text.split() for text in hypotheses]
    lengths = np.array([len(sequence) for sequence in references], dtype=np.int64)
    if not lengths.sum():
        raise InputError("references are empty, expected one with a symbol or more")
    return ErrorRate(edit_distances(references, hypotheses), lengths)


def exact_match(references: Sequence[Any], hypotheses: Sequence[Any]) -> np.ndarray:
    """Return (n,) bool: whether a hypothesis is its reference, symbol by symbol; the mean is the rate.

    Raises:
        InputError: a different number of references and hypotheses.
    """
    _check_pairs(references, hypotheses)
    return np.array([len(a) == len(b) and all(x == y for x, y in zip(a, b, strict=True))
                     for a, b in zip(references, hypotheses, strict=True)], dtype=bool)  # fmt: skip


def bleu(references: Sequence[str], hypotheses: Sequence[str], *, tokenize: str = "13a") -> CorpusScore:
    """Return corpus BLEU by sacrebleu: Papineni et al. 2002, 4-grams, exponential smoothing, no change of case.

    Args:
        references, hypotheses: n texts each, detokenised.
        tokenize: sacrebleu's tokenizer: "13a", "intl", "char", "zh", ….

    Raises:
        InputError: sacrebleu is not installed, no pairs, an unknown tokenizer.
    """
    return _corpus_score(_bleu(tokenize), references, hypotheses)


def bleu_of_weights(
    references: Sequence[str], hypotheses: Sequence[str], *, tokenize: str = "13a"
) -> Callable[[np.ndarray], float]:
    """Return a statistic for ``bootstrap.interval``: corpus BLEU of the pairs, each as often as weights (n,) say.

    n-grams are counted once, not for every sample. Arguments and errors as in ``bleu``.
    """
    metric = _bleu(tokenize, effective_order=True)  # or sacrebleu warns of short texts' own scores, which are not used
    _check_texts(references, hypotheses)
    with_counts = [metric.sentence_score(b, [a]) for a, b in zip(references, hypotheses, strict=True)]
    table = np.array([[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in with_counts])
    orders = metric.max_ngram_order

    def statistic(weights: np.ndarray) -> float:
        sums = (weights @ table).tolist()
        return float(metric.compute_bleu(sums[:orders], sums[orders:-2], *sums[-2:], metric.smooth_method).score)

    return statistic


def chrf(references: Sequence[str], hypotheses: Sequence[str], *, word_order: int = 0) -> CorpusScore:
    """Return corpus chrF by sacrebleu: Popović 2015, character 6-grams, β = 2; with word_order=2, chrF++ (Popović 2017).

    Args:
        references, hypotheses: n texts each, detokenised.
        word_order: word n-grams that count as well.

    Raises:
        InputError: sacrebleu is not installed, or no pairs.
    """
    return _corpus_score(_sacrebleu().CHRF(word_order=word_order), references, hypotheses)


def _bleu(tokenize: str, **options: Any) -> Any:
    metrics = _sacrebleu()
    if tokenize not in metrics.BLEU.TOKENIZERS:
        raise InputError(f"tokenize is {tokenize!r}, expected one of {', '.join(metrics.BLEU.TOKENIZERS)}")
    return metrics.BLEU(tokenize=tokenize, **options)


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError:
        raise InputError("BLEU and chrF need the package sacrebleu: pip install 'laimbench[evaluation]'") from None
    return metrics


def _corpus_score(metric: Any, references: Sequence[str], hypotheses: Sequence[str]) -> CorpusScore:
    _check_texts(references, hypotheses)
    score = metric.corpus_score(list(hypotheses), [list(references)]).score
    return CorpusScore(float(score), str(metric.get_signature()))


def _check_texts(references: Sequence[str], hypotheses: Sequence[str]) -> None:
    _check_pairs(references, hypotheses)
    if not len(references):
        raise InputError("no references, expected one pair of texts or more")
    if not all(isinstance(text, str) for side in (references, hypotheses) for text in side):
        raise InputError("references and hypotheses are expected to be strings, one reference for each hypothesis")


def _check_pairs(references: Sequence[Any], hypotheses: Sequence[Any]) -> None:
    if len(references) != len(hypotheses):
        raise InputError(f"{len(references)} references and {len(hypotheses)} hypotheses, expected as many of each")
