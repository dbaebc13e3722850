"""Compare two stores: runs of the same configuration paired, as two commits' ladders are."""

import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from laimbench.errors import InputError
from laimbench.store import RunRow, Store
from laimbench.store_address import StoreAddress
from laimbench.track.compare import Comparison, Settings, worth
from laimbench.track.learning import Learning, Pair, judge
from laimbench.track.sequential import decide
from laimbench.track.speed import Timing


def compare_stores(a: StoreAddress | Path, b: StoreAddress | Path, settings: Settings) -> Comparison:
    """Compare the runs that both stores finished with the same configuration, family by family and backend by backend.

    Times come from trainings at different times, so that a busy machine is in them; the intervals see that only as far as it differs from
    run to run.

    Raises:
        InputError: a store cannot be read, or no run is in both.
    """
    runs = [_finished(address) for address in (a, b)]
    groups = defaultdict(list)
    for key in runs[0].keys() & runs[1].keys():
        first, second = runs[0][key], runs[1][key]
        groups[f"{first.family} {first.dtype} {first.backend}"].append((first, second))
    if not groups:
        raise InputError(f"{a} and {b} have no finished run of the same configuration in common")
    found = Comparison((str(a), str(b)))
    for name, members in sorted(groups.items()):
        members.sort(key=lambda pair: (pair[0].flops, pair[0].seed))
        found.timings.append(_timing(name, members, settings, len(groups)))
        learning = Learning(name, [_pair(members, pair) for pair in members])
        judge(learning, settings.spreads, settings.alpha / len(groups))
        found.learnings.append(learning)
        found.compute[name], found.wall_time[name] = worth(learning, "flops"), worth(learning, "seconds")
    return found


def _finished(address: StoreAddress | Path) -> dict[tuple, RunRow]:
    with Store(address, must_exist=True) as store:
        return {
            tuple(sorted((k, str(v)) for k, v in run.config.items())): run
            for run in store.runs()
            if run.status == "done" and run.final_val_loss is not None and run.train_s
        }


def _timing(name: str, members: list[tuple[RunRow, RunRow]], settings: Settings, groups: int) -> Timing:
    timing = Timing(name, [math.log(b.train_s / a.train_s) for a, b in members],
                    ([a.train_s for a, _ in members], [b.train_s for _, b in members]))  # fmt: skip
    timing.decision = decide(timing.log_ratios, math.log1p(settings.slowdown), settings.alpha / groups)
    return timing


def _pair(members: list, pair: tuple[RunRow, RunRow]) -> Pair:
    """A size is a place in the order of all budgets of the group: models of one size trained on more tokens are another size."""
    budgets = list(np.unique([a.flops for a, _ in members]))
    points = tuple([{"flops": run.flops, "loss": run.final_val_loss, "seconds": run.train_s}] for run in pair)
    return Pair(budgets.index(pair[0].flops), pair[0].seed, points)
