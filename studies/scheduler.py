"""Is any run lost, doubled or stuck when the local launcher's processes are killed all the time, and how many runs a minute does scheduling allow?

Run by ``make study-scheduler`` (QUICK=1: 60 runs). The runs take nothing: a trainer that only says how far it is stands in for the real one,
so that all the time is the scheduler's. First a ladder is run undisturbed, for the rate; then one of 1,000 runs while after every few runs one
of the processes at work, drawn at random, gets SIGKILL. Lost is a run that is not done at the end, or lacks evaluations; doubled one that was begun again although the
process that had begun it before was not killed; stuck a ladder that does not come to its end within the time allowed.
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path

from study_result import command_line, save

from laimbench.ladder import Job, launch_local
from laimbench.ladder.config import make_ladder
from laimbench.ladder.plan import run_key
from laimbench.store import Store
from laimbench.train import Evaluation, RunConfig

SEED = 8
RUNS, QUICK_RUNS, WORKERS, EVALUATIONS = 1000, 60, 4, 3
BETWEEN_KILLS = (2, 20)  # runs that are begun between two kills
ALLOWED_S = 1800


@dataclass
class Fake:
    """Stands in for a Trainer. Every beginning is noted with the process it was in."""

    config: RunConfig
    log: Path

    def __post_init__(self):
        self.params = self.params_non_embedding = 1
        self.flops_per_step, self.notes, self.evaluated = 1.0, (), 0
        with self.log.open("a") as stream:  # one write of a short line: it is whole or not there
            stream.write(f"{run_key(self.config)} {os.getpid()}\n")

    @property
    def finished(self) -> bool:
        return self.evaluated == EVALUATIONS

    def advance(self) -> Evaluation:
        self.evaluated += 1
        return Evaluation(self.evaluated, self.evaluated, 1.0, 0.0, 1.0, 1.0, 1.0)

    def summary(self) -> dict[str, float]:
        return {}


@dataclass(frozen=True)
class MakeFake:
    log: Path

    def __call__(self, config: RunConfig) -> Fake:
        return Fake(config, self.log)


def ladder_of(runs: int):
    return make_ladder({"name": "scheduler", "family": "mlp", "backends": ["torch"], "seeds": list(range(runs)),
                        "tokens": [320], "sizes": [{"width": 8}]})  # fmt: skip


def beginnings(log: Path) -> list[tuple[str, int]]:
    """Return keys and processes in the order in which runs were begun."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(key, int(pid)) for key, pid in map(str.split, lines)]


def schedule(folder: Path, runs: int, kill: bool) -> dict:
    generator, killed, started = random.Random(SEED), [], time.monotonic()
    next_kill = generator.randint(*BETWEEN_KILLS)

    def look() -> None:
        nonlocal next_kill
        if time.monotonic() - started > ALLOWED_S:
            raise TimeoutError
        begun = beginnings(folder / "log")
        at_work = sorted({worker.pid for worker in active_children()} & {pid for _, pid in begun})
        if kill and at_work and len(begun) >= next_kill:
            killed.append(generator.choice(at_work))
            os.kill(killed[-1], signal.SIGKILL)
            next_kill = len(begun) + generator.randint(*BETWEEN_KILLS)

    folder.mkdir()
    ladder, stuck = ladder_of(runs), 0
    job = Job(ladder, folder / "runs.sqlite", 1, MakeFake(folder / "log"))
    try:
        launch_local(job, WORKERS, look=look)
    except TimeoutError:
        stuck = 1
    seconds = time.monotonic() - started
    begun = defaultdict(list)
    for key, pid in beginnings(folder / "log"):
        begun[key].append(pid)
    with Store(folder / "runs.sqlite") as store:
        whole = {run.key for run in store.runs(status="done") if len(store.metrics(run.id)) == EVALUATIONS}
    doubled = [key for key, pids in begun.items() if any(pid not in killed for pid in pids[:-1])]
    found = {"runs": runs, "workers": WORKERS, "kills": len(killed), "begun": sum(map(len, begun.values())),
             "lost": len({run_key(config) for config in ladder.runs} - whole), "doubled": len(doubled), "stuck": stuck,
             "seconds": round(seconds, 1), "runs_per_minute": round(60 * runs / seconds)}  # fmt: skip
    print(found, flush=True)
    return found


def run(quick: bool) -> dict:
    runs = QUICK_RUNS if quick else RUNS
    with tempfile.TemporaryDirectory() as temporary:
        undisturbed = schedule(Path(temporary) / "undisturbed", runs // 5, kill=False)
        return {
            "seed": SEED,
            "undisturbed": undisturbed,
            "killed": schedule(Path(temporary) / "killed", runs, kill=True),
        }


if __name__ == "__main__":
    quick = command_line(__doc__).parse_args().quick
    result = run(quick)
    save("scheduler", result, None, quick)
    sys.exit(
        any(part[name] for part in (result["undisturbed"], result["killed"]) for name in ("lost", "doubled", "stuck"))
    )
