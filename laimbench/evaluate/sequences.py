"""Sequences that are said: targets of pairs by greedy and beam decoding, transcripts of clips; clusters are pairs and clips."""

from importlib.util import find_spec
from typing import Any

from laimbench.evaluate.figures import figure
from laimbench.metrics.bootstrap import interval, ratio_interval
from laimbench.metrics.sequences import bleu, bleu_of_weights, chrf, error_rate, exact_match
from laimbench.train.tasks.audio import AudioTask
from laimbench.train.tasks.transformer import TransformerTask

DECODINGS = {"greedy": 1, "beam 4": 4}


def evaluate_pairs(task: TransformerTask, items: int) -> tuple[dict[str, Any], list[str]]:
    """Return exact match, character error rate, BLEU and chrF of both decodings, and a line where sacrebleu is missing."""
    figures, details = [], {}
    with_scores = find_spec("sacrebleu") is not None
    for name, beams in DECODINGS.items():
        targets, said = task.translations(beams, items)
        edits = error_rate(targets, said, "character")
        figures += [
            figure(f"exact match, {name}", "share", ratio_interval(exact_match(targets, said), 1)),
            figure(f"character error rate, {name}", "share", ratio_interval(edits.edits, edits.lengths)),
        ]
        if with_scores:
            characters = chrf(targets, said)
            figures += [
                figure(f"BLEU, {name}", "0 to 100", interval(bleu_of_weights(targets, said), len(targets))),
                figure(f"chrF, {name}", "0 to 100", characters.score),  # its samples would take minutes
            ]
            details["signatures"] = [bleu(targets, said).signature, characters.signature]
    notes = (
        []
        if with_scores
        else ["no BLEU and chrF: they need the package sacrebleu (pip install 'laimbench[evaluation]')"]
    )
    return {"unit": "pairs", "items": len(targets), "figures": figures, "details": details}, notes


def evaluate_transcripts(task: AudioTask, items: int) -> dict[str, Any]:
    """Return the word error rate and the share of clips without any error, by greedy CTC decoding."""
    said, heard = task.transcripts(items)
    edits = error_rate(said, heard, "symbol")  # a symbol is a word
    figures = [
        figure("word error rate", "share", ratio_interval(edits.edits, edits.lengths)),
        figure("exact match", "share", ratio_interval(exact_match(said, heard), 1)),
    ]
    return {"unit": "clips", "items": len(said), "figures": figures, "details": {"words": int(edits.lengths.sum())}}
