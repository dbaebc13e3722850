"""Evaluate a checkpoint of any family; the result is a document of plain values, fit for JSON and for the store."""

from pathlib import Path
from typing import Any

from laimbench import provenance
from laimbench.errors import InputError
from laimbench.evaluate.classes import Classified, evaluate_classes
from laimbench.evaluate.comparisons import compare_bag, compare_ngram
from laimbench.evaluate.held_out import held_out_task
from laimbench.evaluate.language import MOST_TOKENS, evaluate_gpt, evaluate_masked, score
from laimbench.evaluate.sequences import evaluate_pairs, evaluate_transcripts
from laimbench.models.backends import BACKENDS
from laimbench.train import load_checkpoint

COMPARISONS = ("ngram", "bag")
MOST_ITEMS = 5000  # held-out items that are evaluated unless told otherwise


def evaluate(
    folder: Path, *, data: str = "", backend: str | None = None, items: int = 0, eval_tokens: int = 0, compare: str = ""
) -> dict[str, Any]:
    """Return an evaluation on held-out data; the same call gives the same figures.

    Args:
        folder: of the checkpoint.
        data: another source than the run's, of the same kind.
        backend: another one than the run's.
        items: at most so many held-out items; 0: 5,000. eval_tokens: of text, at most so many tokens; 0: 262,144.
        compare: "ngram" for a GPT, "bag" for a BERT that classifies; "": no baseline.

    Returns:
        checkpoint, sha256, config, data, unit, items, figures (as ``figures.figure``), details (of the kind), comparisons (baseline,
        trained_on, figures), notes, machine.

    Raises:
        InputError: not a checkpoint, a source of another kind, an option that the family does not have.
    """
    if compare and compare not in COMPARISONS:
        raise InputError(f"compare is {compare!r}, expected one of {', '.join(COMPARISONS)}")
    if backend and backend not in BACKENDS:
        raise InputError(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}")
    if min(items, eval_tokens) < 0:
        raise InputError(f"items is {items}, eval_tokens {eval_tokens}, expected 1 or more")
    checkpoint = load_checkpoint(folder, backend)
    family, classes = checkpoint.config.family, checkpoint.facts.get("classes")
    by_tokens = family == "gpt" or (family == "bert" and not classes)
    wrong, instead = ("items", "eval_tokens") if by_tokens else ("eval_tokens", "items")
    if items if by_tokens else eval_tokens:
        raise InputError(f"{wrong} does not go with this {family}, expected {instead}")
    fitting = {"ngram": family == "gpt", "bag": family == "bert" and bool(classes)}
    if compare and not fitting[compare]:
        wanted = "a gpt" if compare == "ngram" else "a bert that classifies"
        raise InputError(f"compare {compare!r} is for {wanted}; {folder} is of family {family}")
    task = held_out_task(checkpoint, data)
    notes, comparisons = list(task.notes), []
    if family == "gpt":
        scored, more = score(task, eval_tokens or MOST_TOKENS)
        found = evaluate_gpt(task, scored)
        if compare:
            comparisons = compare_ngram(task, scored, checkpoint.state.get("tokens") or checkpoint.config.tokens)
    elif by_tokens:
        found, more = evaluate_masked(task, eval_tokens or MOST_TOKENS)
    elif family == "transformer":
        found, more = evaluate_pairs(task, items or MOST_ITEMS)
    elif checkpoint.facts.get("ctc"):
        found, more = evaluate_transcripts(task, items or MOST_ITEMS), []
    else:
        classified, more = Classified(*task.log_probabilities(items or MOST_ITEMS)), []
        found = evaluate_classes(task, classified)
        if compare:
            comparisons = compare_bag(task, classified, task.validation(items or MOST_ITEMS))
    return {
        "checkpoint": str(folder), "sha256": checkpoint.sha256, "config": checkpoint.config.to_dict(), "data": task.config.data,
        **found, "comparisons": comparisons, "notes": notes + more, "machine": provenance.collect(),
    }  # fmt: skip
