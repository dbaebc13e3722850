"""How often does ``laimbench track`` raise a false alarm? Comparisons of a build with itself, with load on the machine in a third of them.

Run by ``make study-aa`` (QUICK=1: two short comparisons). Every comparison is a whole one: one of three ops in turn timed until decided, a
small ladder trained until decided, new processes in every round. Every core that the study may use (``taskset``) has a comparison of its own;
load is a process that computes on the comparison's core all the time. What is there already is kept, so that the study can be stopped.
"""

import dataclasses
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from study_result import RESULTS, command_line, save
from track_sides import SUITE, copy_of_package

from laimbench import provenance
from laimbench.cores import keep_on, usable_cores
from laimbench.track.compare import Settings, compare
from laimbench.track.process import Side
from laimbench.track.verdict import exit_code, learning_word, speed_word

COMPARISONS = 200
OPS = ("attention", "mlp", "layer_norm")
SETTINGS = Settings(rounds=24, seeds=6, quick=True)


def burn(study: int) -> None:
    while os.getppid() == study:  # it ends with the study, however that ends
        sum(range(100_000))


@contextmanager
def load(wanted: bool):
    process = (
        multiprocessing.get_context("spawn").Process(target=burn, args=(os.getpid(),), daemon=True) if wanted else None
    )
    if process:
        process.start()
    yield
    if process:
        process.kill()
        process.join()


def compared(sides: list[Side], number: int, settings: Settings) -> dict[str, Any]:
    started = time.perf_counter()
    op, loaded = OPS[number % 3], number // 3 % 3 == 0
    with load(loaded):
        found = compare(*sides, SUITE, dataclasses.replace(settings, only=(op, "gpt")))
    row = {"number": number, "op": op, "load": loaded, "speed": speed_word(found.timings), "learning": learning_word(found.learnings),
           "exit_code": exit_code(found), "ratios": [timing.ratio for timing in found.timings],
           "rounds": [timing.decision.observations for timing in found.timings],
           "seconds": time.perf_counter() - started, "machine": provenance.collect()}  # fmt: skip
    print(f"{number}: {op}, {row['speed']}, {row['learning']}, {row['seconds']:.0f} s", flush=True)
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    alarms = sum(any(row[kind] not in ("same", "undecided") for kind in ("speed", "learning")) for row in rows)
    words = {kind: Counter(row[kind] for row in rows) for kind in ("speed", "learning")}
    return {"comparisons": len(rows), "false_alarms": alarms, **words, "rows": rows}


def run(quick: bool) -> None:
    settings = dataclasses.replace(SETTINGS, rounds=3, seeds=2) if quick else SETTINGS
    path = RESULTS / "aa.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() and not quick else []
    there = {row["number"] for row in rows}
    cores = usable_cores()
    own = threading.local()

    def begin() -> None:
        """Give a worker, and the processes that it starts, a core and copies of its own: in two places, as two builds are."""
        core = cores.pop()
        keep_on(core)
        own.sides = [copy_of_package(Path(name) / str(core) / label) for label in ("a", "b")]

    def one(number: int) -> dict[str, Any]:
        return compared(own.sides, number, settings)

    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(len(cores), initializer=begin) as workers:
        todo = (number for number in range(2 if quick else COMPARISONS) if number not in there)
        for done in as_completed([workers.submit(one, number) for number in todo]):
            rows.append(done.result())
            save("aa", summary(rows), None, quick)


if __name__ == "__main__":
    run(command_line(__doc__).parse_args().quick)
