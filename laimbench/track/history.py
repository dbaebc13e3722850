"""What asv measured of many commits, read from its folder of results."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.errors import InputError, RunError
from laimbench.files import ODD_VALUES, read_json
from laimbench.report.commits import mean_curve
from laimbench.track.builds import git
from laimbench.track.multiplier import Multiplier, effective_multiplier

LOSS, FLOPS = "track_final_loss", "track_flops"

Params = tuple[str, ...]


@dataclass(frozen=True)
class Commit:
    """date: seconds since 1970, of the commit; subject: '' where the repository does not say."""

    hash: str
    date: float
    subject: str


@dataclass(frozen=True)
class Benchmark:
    """values: per commit, a figure for each combination of parameters that was measured."""

    name: str
    unit: str
    param_names: Params
    values: list[dict[Params, float]]

    @property
    def combinations(self) -> list[Params]:
        return list(dict.fromkeys(key for values in self.values for key in values))


@dataclass(frozen=True)
class Run:
    """A final loss of the ladder: flops, loss in nats; group: all parameters but tokens and seed, for which one curve is drawn."""

    group: Params
    seed: str
    flops: float
    loss: float


@dataclass
class History:
    """Commits from the oldest on, of one machine."""

    machine: str
    commits: list[Commit]
    benchmarks: dict[str, Benchmark] = field(default_factory=dict)

    def ladder(self) -> list[list[Run]]:
        """Return each commit's runs of the first ladder there is; [] where none is.

        A ladder is a benchmark named ``track_final_loss`` with a parameter "seed", and ``track_flops`` beside it. Of its parameter
        "backend", if it has one, the first counts.
        """
        for name, losses in self.benchmarks.items():
            flops = self.benchmarks.get(name.removesuffix(LOSS) + FLOPS)
            if name.endswith(LOSS) and "seed" in losses.param_names and flops is not None:
                return [
                    _runs(losses.param_names, of_commit, flops.values[i]) for i, of_commit in enumerate(losses.values)
                ]
        return []

    def multipliers(self) -> list[Multiplier | str]:
        """Return what each commit is worth against the first that has the ladder, or why that is not known; [] without a ladder."""
        ladder = self.ladder()
        base = next((runs for runs in ladder if runs), [])
        return [_against(base, runs) for runs in ladder]


def read_history(folder: Path, repository: Path | None = None, machine: str = "") -> History:
    """Read asv's results of one machine, the one with most commits unless it is named.

    Args:
        folder: ``results_dir`` of asv.conf.json. repository: for the commits' order and subjects.

    Raises:
        InputError: not asv's results, or none of the machine.
    """
    described = _json(folder / "benchmarks.json")
    machines = {
        path.parent.name: sorted(path.parent.glob("*-*.json")) for path in sorted(folder.glob("*/machine.json"))
    }
    if not any(machines.values()):
        raise InputError(f"{folder}: no results of any machine, expected those of `asv run`")
    if machine and machine not in machines:
        raise InputError(f"machine is {machine!r}, expected one of {', '.join(machines)}")
    machine = machine or max(machines, key=lambda name: len(machines[name]))
    results: dict[str, dict[str, Any]] = {}
    for path in machines[machine]:
        one = _json(path)
        try:
            results.setdefault(one["commit_hash"], {"date": one["date"] / 1000, "found": {}})["found"] |= _figures(one)
        except ODD_VALUES as error:
            raise InputError(f"{path}: not a file of asv's results ({error!r})") from None
    if not results:
        raise InputError(f"{folder}: no results of machine {machine}")
    order = _subjects(repository)
    places = {commit: place for place, commit in enumerate(order)}
    hashes = sorted(results, key=lambda commit: (results[commit]["date"], -places.get(commit, 0)))
    history = History(machine, [Commit(one, results[one]["date"], order.get(one, "")) for one in hashes])
    for name in dict.fromkeys(name for one in hashes for name in results[one]["found"]):
        about = described.get(name)
        about = about if isinstance(about, dict) else {}
        values = [results[one]["found"].get(name, {}) for one in hashes]
        if any(values):
            names = tuple(map(str, about.get("param_names", ())))
            unit = str(about.get("unit", ""))
            history.benchmarks[name] = Benchmark(
                name, "" if unit == "unit" else unit, names, values
            )  # asv's word for none
    return history


def _figures(document: dict[str, Any]) -> dict[str, dict[Params, float]]:
    """Return every benchmark's finite figures by their parameters."""
    columns = document["result_columns"]
    found = {}
    for name, row in document["results"].items():
        cells = dict(zip(columns, row, strict=False))
        values = cells.get("result") or []
        keys = product(*([str(value).strip("'") for value in each] for each in cells.get("params") or []))
        found[name] = {
            key: float(value)
            for key, value in zip(keys, values, strict=False)
            if isinstance(value, (int, float)) and math.isfinite(value)
        }
    return found


def _runs(names: Params, losses: dict[Params, float], flops: dict[Params, float]) -> list[Run]:
    at = {name: place for place, name in enumerate(names)}
    ours = next((key[at["backend"]] for key in losses), None) if "backend" in at else None
    left = [place for name, place in at.items() if name not in ("tokens", "seed")]
    return [
        Run(tuple(key[place] for place in left), key[at["seed"]], flops[key], loss)
        for key, loss in losses.items()
        if flops.get(key, 0) > 0 and (ours is None or key[at["backend"]] == ours)
    ]


def _against(base: list[Run], runs: list[Run]) -> Multiplier | str:
    both = [(run, side) for side, some in enumerate((base, runs)) for run in some]
    seeds = {run.seed for run in base} & {run.seed for run in runs}
    both = [(run, side) for run, side in both if run.seed in seeds]
    if not both:
        return "no ladder"
    try:
        return effective_multiplier(
            np.array([run.flops for run, _ in both]),
            np.array([run.loss for run, _ in both]),
            np.array([side for _, side in both]),
            np.array([run.seed for run, _ in both]),
        )
    except ValueError as error:
        return str(error)


def curves(runs: list[Run]) -> list[tuple[list[float], list[float]]]:
    """Return each group's (FLOPs, mean loss over seeds), by FLOPs; one curve of all where no group has two budgets."""
    groups: dict[Params, list[tuple[float, float]]] = defaultdict(list)
    for run in runs:
        groups[run.group].append((run.flops, run.loss))
    found = [mean_curve(points) for points in groups.values()]
    if all(len(flops) == 1 for flops, _ in found):
        return [mean_curve((run.flops, run.loss) for run in runs)] if runs else []
    return found


def _subjects(repository: Path | None) -> dict[str, str]:
    """Return the subject of every commit of a repository, newest first; none where it is not one."""
    if repository is None:
        return {}
    try:
        lines = git(repository, "log", "--all", "--topo-order", "--format=%H%x09%s").splitlines()
    except RunError:
        return {}
    return {commit: subject for commit, _, subject in (line.partition("\t") for line in lines)}


def _json(path: Path) -> dict[str, Any]:
    document = read_json(path, "asv's results")
    if not isinstance(document, dict):
        raise InputError(f"{path}: not an object, expected a file of asv's results")
    return document
