"""Curves of loss against compute of several commits on top of each other, with a slider that goes through them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from laimbench.report.figures import rounded
from laimbench.report.markup import clipped, data, figure

COLOURS = 6  # the classes level0 to level5 of page.css


@dataclass(frozen=True)
class CommitCurves:
    """label: short, such as a hash; text: a line about the commit; curves: (FLOPs, loss in nats) of each."""

    label: str
    text: str
    curves: list[tuple[list[float], list[float]]] = field(default_factory=list)


def mean_curve(points: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return the mean loss at each compute, by compute, of runs (FLOPs, loss)."""
    losses: dict[float, list[float]] = defaultdict(list)
    for flops, loss in points:
        losses[flops].append(loss)
    return sorted(losses), [float(np.mean(losses[flops])) for flops in sorted(losses)]


def commits_figure(name: str, commits: list[CommitCurves], caption: str) -> str:
    """Return the figure and its slider as HTML; '' where fewer than two commits have curves.

    Args:
        name: the figure's id. commits: from the oldest on; those without curves are left out.
    """
    shown = [commit for commit in commits if commit.curves]
    if len(shown) < 2:
        return ""
    series = [
        {"kind": "curves", "name": clipped(commit.label, 80), "colour": level(i, len(shown)), "marks": True,
         "x": [rounded(x) for x, _ in commit.curves], "y": [rounded(y) for _, y in commit.curves]}
        for i, commit in enumerate(shown)
    ]  # fmt: skip
    described = {"x": {"title": "training compute, FLOPs", "log": True},
                 "y": {"title": "validation loss, nats", "log": True}, "series": series}  # fmt: skip
    texts = [clipped(commit.text) for commit in shown]
    return figure(name, "Loss against compute by commit", described, caption, wide=True) + data("commits", name, texts)


def level(i: int, count: int) -> str:
    """Return the colour of the i-th of so many things in an order."""
    return f"level{round((COLOURS - 1) * i / max(1, count - 1))}"
