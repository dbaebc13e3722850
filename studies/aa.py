"""How often does ``laimbench track`` raise a false alarm? Comparisons of a build with itself, with load on the machine in a third of them.

Run by ``make study-aa`` (QUICK=1: two short comparisons). Every comparison is a whole one: two ops timed until decided, a small ladder trained
until decided, new processes in every round. Load is a process that computes on its own during the whole comparison.
"""

import dataclasses
import multiprocessing
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from study_result import command_line, save
from track_sides import SUITE, copy_of_package

from laimbench.track.compare import Settings, compare
from laimbench.track.verdict import exit_code, learning_word, speed_word

COMPARISONS = 200
SETTINGS = Settings(rounds=24, seeds=6, quick=True)


def burn() -> None:
    while True:
        sum(range(1000))


@contextmanager
def load(wanted: bool):
    process = multiprocessing.get_context("spawn").Process(target=burn, daemon=True) if wanted else None
    if process:
        process.start()
    yield
    if process:
        process.kill()
        process.join()


def run(quick: bool) -> dict[str, Any]:
    rows = []
    settings = dataclasses.replace(SETTINGS, rounds=3, seeds=2) if quick else SETTINGS
    with tempfile.TemporaryDirectory() as name:
        sides = [copy_of_package(Path(name) / label) for label in ("a", "b")]  # in two places, as two builds are
        for number in range(2 if quick else COMPARISONS):
            started = time.perf_counter()
            with load(number % 3 == 0):
                found = compare(*sides, SUITE, settings)
            code = exit_code(found)
            rows.append({"load": number % 3 == 0, "speed": speed_word(found.timings), "learning": learning_word(found.learnings),
                         "exit_code": code, "ratios": [timing.ratio for timing in found.timings],
                         "rounds": [timing.decision.observations for timing in found.timings],
                         "seconds": time.perf_counter() - started})  # fmt: skip
            print(f"{number}: {rows[-1]}", flush=True)
    words = Counter(row["speed"] for row in rows), Counter(row["learning"] for row in rows)
    alarms = sum(
        row["speed"] not in ("same", "undecided") or row["learning"] not in ("same", "undecided") for row in rows
    )
    return {"comparisons": len(rows), "false_alarms": alarms, "speed": words[0], "learning": words[1], "rows": rows}


if __name__ == "__main__":
    arguments = command_line(__doc__).parse_args()
    save("aa", run(arguments.quick), None, arguments.quick)
