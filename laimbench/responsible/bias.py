"""Whether a model finds the same words less expected after one group's names than after another's.

A template has a slot, ``{}``, and text behind it. Of each filled sentence the tokens behind the slot are scored, given all before:
they are the same for every filler, so that how common a filler is plays no part. This is the score of CrowS-Pairs (Nangia,
Vania, Bhalerao & Bowman 2020) for a causal model.
"""

import itertools
import json
import tomllib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.metrics.bootstrap import ratio_interval
from laimbench.responsible.model import LanguageModel, checked_losses

SLOT = "{}"
RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Templates:
    """Sentences with a slot, and per group the fillers; fillers at the same place in two groups are a pair."""

    templates: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class GroupDifference:
    """Mean loss per token after fillers of ``first`` less after ``second``, in nats; by template, and its mean.

    The interval is a percentile bootstrap over templates, None where there is one only. It says how the mean would vary over
    templates like these, not over other fillers.
    """

    first: str
    second: str
    mean: float
    interval: tuple[float, float] | None
    by_template: tuple[tuple[str, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, fit for JSON."""
        return asdict(self)


def read_templates(path: Path) -> Templates:
    """Return the templates of a TOML file (``templates = [...]`` and a table ``groups``) or of JSON lines (objects of
    ``template``, or of ``group`` and ``fillers``).

    Raises:
        InputError: a file that is not of that form; the message names file, place and what was expected.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"templates {path}: cannot be read ({error})") from None
    if path.suffix == ".jsonl":
        templates, groups = _from_lines(path, content)
    else:
        try:
            document = tomllib.loads(content)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise InputError(f"templates {path}: not TOML ({error})") from None
        templates, groups = document.get("templates"), document.get("groups")
    if not _texts(templates):
        raise InputError(f"templates {path}: templates, expected a list of one or more texts")
    if not isinstance(groups, dict) or len(groups) < 2 or not all(map(_texts, groups.values())):
        raise InputError(f"templates {path}: groups, expected two or more, each a list of texts")
    if len({len(fillers) for fillers in groups.values()}) > 1:
        sizes = ", ".join(f"{name} {len(fillers)}" for name, fillers in groups.items())
        raise InputError(
            f"templates {path}: fillers are compared in pairs, expected as many in each group, found {sizes}"
        )
    for template in templates:
        if template.count(SLOT) != 1 or not template.partition(SLOT)[2].strip():
            raise InputError(f"templates {path}: {template!r}, expected one slot {SLOT} with words behind it")
    return Templates(tuple(templates), {name: tuple(fillers) for name, fillers in groups.items()})


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) and one.strip() for one in value)


def _from_lines(path: Path, content: str) -> tuple[list, dict]:
    templates, groups = [], {}
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"templates {path}:{number}: not JSON ({error})") from None
        if isinstance(row, dict) and set(row) == {"template"}:
            templates.append(row["template"])
        elif isinstance(row, dict) and set(row) == {"group", "fillers"} and isinstance(row["group"], str):
            groups[row["group"]] = row["fillers"]
        else:
            raise InputError(f"templates {path}:{number}: expected an object of template, or of group and fillers")
    return templates, groups


def group_differences(
    model: LanguageModel, encode: Callable[[str], list[int]], templates: Templates, *, seed: int = 0
) -> list[GroupDifference]:
    """Return the loss differences between any two groups.

    Args:
        model: any that keeps the protocol.
        encode: tokens of a text, without special tokens; the text up to the slot's end and the text behind it are encoded apart.
        templates: from ``read_templates``.
        seed: of the bootstrap.

    Raises:
        InputError: a sentence longer than the model reads.
    """
    windows: dict[int, list[tuple[tuple[str, int, int], list[int], int]]] = defaultdict(list)
    for (t, template), (group, fillers) in itertools.product(enumerate(templates.templates), templates.groups.items()):
        before, _, behind = template.partition(SLOT)
        scored = encode(behind)
        for i, filler in enumerate(fillers):
            tokens = [*encode(before + filler), *scored]
            windows[len(tokens)].append(((group, t, i), tokens, len(scored)))
    scores = {group: np.empty((len(templates.templates), len(fillers))) for group, fillers in templates.groups.items()}
    for rows in windows.values():
        losses = checked_losses(model, np.array([tokens for _, tokens, _ in rows], dtype=np.int64))
        for ((group, t, i), _, scored), row in zip(rows, losses, strict=True):
            scores[group][t, i] = row[len(row) - scored :].mean()
    return [
        _compare(templates.templates, first, second, scores, seed)
        for first, second in itertools.combinations(scores, 2)
    ]


def _compare(templates: tuple[str, ...], first: str, second: str, scores: dict, seed: int) -> GroupDifference:
    differences = (scores[first] - scores[second]).mean(axis=1)  # pairs of a template are not independent of each other
    interval = None
    if len(differences) > 1:
        found = ratio_interval(differences, 1, kind="percentile", level=LEVEL, samples=RESAMPLES, seed=seed)
        interval = found.lower, found.upper
    table = tuple(zip(templates, differences.tolist(), strict=True))
    return GroupDifference(first, second, float(differences.mean()), interval, table)
