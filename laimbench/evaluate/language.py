"""Models of language: a GPT by the loss of every token, a BERT by that of masked tokens; clusters are documents.

Shapes: n windows of S scored tokens, M masked tokens of a window.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from laimbench.data import Tokens
from laimbench.data.synthetic import SyntheticTokens
from laimbench.data.tokenizer import read_tokenizer, token_bytes
from laimbench.evaluate.figures import exponential, figure
from laimbench.evaluate.language_model import CheckpointModel
from laimbench.metrics.bootstrap import ratio_interval
from laimbench.metrics.language import loss_by_position
from laimbench.train.tasks.bert import BERTTask
from laimbench.train.tasks.gpt import GPTTask

MOST_TOKENS = 262_144  # that are evaluated unless told otherwise
FEW_DOCUMENTS = 20  # below it intervals are too short, docs/metrics.md has how much


@dataclass(frozen=True)
class Scored:
    """Held-out windows (n, S + 1) and a model's losses (n, S) in nats.

    byte_counts: (n,) of the scored tokens' text, None of synthetic data. clusters: (n,), None: each window by itself.
    """

    windows: np.ndarray
    losses: np.ndarray
    byte_counts: np.ndarray | None
    clusters: np.ndarray | None


def score(task: GPTTask, tokens: int) -> tuple[Scored, list[str]]:
    """Return the losses on up to ``tokens`` held-out tokens, and lines about how they were counted."""
    data, seqlen = task.data, task.config.seqlen
    count = _window_count(data, tokens, seqlen, seqlen + 1)
    windows = data.validation_windows(count, seqlen + 1)
    losses = CheckpointModel(task.model).losses(windows)
    clusters, notes = _clusters(data, count, seqlen + 1)
    byte_counts = None
    if isinstance(data, Tokens):
        of_token = token_bytes(read_tokenizer(data.folder / "tokenizer.json")[0])
        if of_token is None:
            byte_counts = np.full(len(windows), seqlen * data.validation_bytes / len(data.validation))
            notes.append(
                "bits per byte by the mean bytes per token of all held-out text: the tokenizer is not byte-level"
            )
        else:
            byte_counts = of_token[windows[:, 1:]].sum(1)
    return Scored(windows, losses, byte_counts, clusters), notes


def evaluate_gpt(task: GPTTask, scored: Scored) -> dict[str, Any]:
    """Return figures and details of a GPT's losses."""
    totals, seqlen = scored.losses.sum(1), scored.losses.shape[1]
    loss = figure("loss", "nats per token", ratio_interval(totals, seqlen, scored.clusters))
    figures = [loss, exponential("perplexity", "", loss)]
    details: dict[str, Any] = {"tokens": scored.losses.size}
    if scored.byte_counts is not None:
        found = ratio_interval(totals / np.log(2), scored.byte_counts, scored.clusters)
        figures.append(figure("bits per byte", "bits per byte", found))
        details["bytes"] = float(scored.byte_counts.sum())
    if isinstance(task.data, SyntheticTokens):
        best = task.data.process.optimal_losses(scored.windows).sum(1)
        figures.append(figure("loss above the best possible", "nats per token", ratio_interval(totals - best, seqlen)))
    mean, error = position_losses(scored.losses, scored.clusters)
    details["loss_by_position"] = {"loss": mean.tolist(), "standard_error": error.tolist()}
    return {"unit": "windows", "items": len(totals), "figures": figures, "details": details}


def position_losses(losses: np.ndarray, clusters: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean loss at each position and its standard error, (S,) each, of losses (n, S).

    Of windows in clusters (n,) the error is the cluster-robust one, sqrt(C / (C - 1) Σ (Σ residuals of a cluster)²) / n (Liang &
    Zeger 1986); each window by itself it is s / √n.
    """
    mean, error = loss_by_position(losses)
    if clusters is None:
        return mean, error
    labels, of_window = np.unique(clusters, return_inverse=True)
    sums, count = np.zeros((len(labels), losses.shape[1])), len(labels)
    np.add.at(sums, of_window, losses - mean)
    return mean, np.sqrt(count / (count - 1) * (sums**2).sum(0)) / len(losses)


@torch.no_grad()
def evaluate_masked(task: BERTTask, tokens: int) -> tuple[dict[str, Any], list[str]]:
    """Return figures of masked tokens, the masks the same for every model, and lines about how they were counted."""
    data, model, length = task.data, task.model, task.config.seqlen - 1
    count = _window_count(data, tokens, task.config.seqlen, length)
    losses, hits = [], []
    for inputs, positions, targets in task.validation(count):
        losses.append(model.losses(inputs, positions, targets).double().sum(1))
        scores = model.ops.linear(model.masked_hidden(inputs, positions), model.tokens.weight, model.head_bias)
        hits.append((scores.argmax(-1) == targets).double().sum(1))
    clusters, notes = _clusters(data, count, length)
    loss = figure(
        "masked loss", "nats per masked token", ratio_interval(torch.cat(losses).numpy(), task.masked, clusters)
    )
    accuracy = figure("masked accuracy", "share", ratio_interval(torch.cat(hits).numpy(), task.masked, clusters))
    items = sum(map(len, losses))
    details = {"masked_tokens": items * task.masked}
    return {"unit": "windows", "items": items, "figures": [loss, accuracy], "details": details}, notes


def _window_count(data: Any, tokens: int, seqlen: int, length: int) -> int:
    """Return how many windows are evaluated: of text as many as have no scored token in common."""
    wanted = max(1, tokens // seqlen)
    if not isinstance(data, Tokens):
        return wanted
    return max(1, min(wanted, (len(data.validation) - length) // (length - 1 if length > seqlen else length) + 1))


def _clusters(data: Any, count: int, length: int) -> tuple[np.ndarray | None, list[str]]:
    """Return the document of each window's middle; None, each window by itself, of synthetic data and of a single document."""
    if not isinstance(data, Tokens):
        return None, []
    documents = data.validation_documents(data.validation_starts(count, length) + length // 2)
    found = len(np.unique(documents))
    if found < 2:
        return None, ["intervals by windows of one document: too short, as neighbours are alike"]
    return documents, [f"intervals from {found} documents only: too short"] if found < FEW_DOCUMENTS else []
