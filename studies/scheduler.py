"""Is any run lost, doubled or stuck when the launchers' processes are killed all the time, and how many runs a minute does scheduling allow?

Run by ``make study-scheduler`` (QUICK=1: 60 runs). The runs take nothing: a trainer that only says how far it is stands in for the real one,
so that all the time is the scheduler's. First a ladder is run undisturbed, for the rate; then one of 1,000 runs by the local launcher and one by
Ray, while after every few runs one of the processes at work, drawn at random, gets SIGKILL. ``--runs 100000`` is the one of docs/scale.md.
Lost is a run that is not done at the end, or lacks evaluations; doubled one that was begun again although the process that had begun it
before was not killed; stuck a ladder that does not come to its end within the time allowed.
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from study_result import command_line, save

from laimbench.ladder import Job, launch_local
from laimbench.ladder.config import make_ladder
from laimbench.ladder.plan import run_key
from laimbench.store import Store
from laimbench.store.owner import started_at
from laimbench.train import Evaluation, RunConfig

SEED = 8
RUNS, QUICK_RUNS, WORKERS, EVALUATIONS = 1000, 60, 4, 3
BETWEEN_KILLS = (2, 20)  # runs that are begun between two kills
BETWEEN_MANY = (100, 1000)  # of a ladder so long that who starts reads it for seconds
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


class Log:
    """The beginnings noted so far, read on from where it was left. begun: the processes that began each run, in order."""

    def __init__(self, path: Path):
        self._path, self._at, self.count = path, 0, 0
        self.begun: dict[str, list[int]] = defaultdict(list)
        self.pids: set[int] = set()

    def read(self) -> None:
        if not self._path.exists():
            return
        with self._path.open() as stream:
            stream.seek(self._at)
            for line in stream.read().splitlines():
                key, pid = line.split()
                self.count += 1
                self.begun[key].append(int(pid))
                self.pids.add(int(pid))
            self._at = stream.tell()


def schedule(
    folder: Path, runs: int, kill: bool, launch=launch_local, allowed_s: float = ALLOWED_S, between=BETWEEN_KILLS
) -> dict:
    generator, killed, started = random.Random(SEED), [], time.monotonic()
    next_kill = generator.randint(*between)
    log = Log(folder / "log")

    def look() -> None:
        nonlocal next_kill
        if time.monotonic() - started > allowed_s:
            raise TimeoutError
        log.read()
        at_work = sorted(pid for pid in log.pids - set(killed) if started_at(pid))
        if kill and at_work and log.count >= next_kill:
            killed.append(generator.choice(at_work))
            os.kill(killed[-1], signal.SIGKILL)
            next_kill = log.count + generator.randint(*between)

    folder.mkdir()
    ladder, stuck = ladder_of(runs), 0
    job = Job(ladder, folder / "runs.sqlite", 1, MakeFake(folder / "log"))
    try:
        launch(job, WORKERS, look=look)
    except TimeoutError:
        stuck = 1
    seconds = time.monotonic() - started
    log.read()
    with Store(folder / "runs.sqlite") as store:
        whole = {run.key for run in store.runs(status="done") if len(store.metrics(run.id)) == EVALUATIONS}
    doubled = [key for key, pids in log.begun.items() if any(pid not in killed for pid in pids[:-1])]
    found = {"runs": runs, "workers": WORKERS, "kills": len(killed), "begun": log.count,
             "lost": len({run_key(config) for config in ladder.runs} - whole), "doubled": len(doubled), "stuck": stuck,
             "seconds": round(seconds, 1), "runs_per_minute": round(60 * runs / seconds)}  # fmt: skip
    print(found, flush=True)
    return found


def by_ray(job: Job, workers: int, look) -> None:
    """Run under a cluster of as many cores as there are workers, whatever this machine has."""
    import ray

    from laimbench.ladder.ray_launcher import launch_ray, start_ray

    start_ray(num_cpus=workers)
    try:
        launch_ray(job, workers, look=look)
    finally:
        ray.shutdown()


def run(quick: bool, many: int) -> dict:
    runs = QUICK_RUNS if quick else RUNS
    memory = (
        "/dev/shm" if many and Path("/dev/shm").is_dir() else None
    )  # where syncing costs nothing: the time is the scheduler's own
    with tempfile.TemporaryDirectory(dir=memory) as temporary:
        at = partial(Path, temporary)
        if many:
            return {
                "seed": SEED,
                "many": schedule(at("many"), many, kill=True, allowed_s=4 * ALLOWED_S, between=BETWEEN_MANY),
            }
        found = {"seed": SEED, "undisturbed": schedule(at("undisturbed"), runs // 5, kill=False),
                 "killed": schedule(at("killed"), runs, kill=True)}  # fmt: skip
        try:
            found["ray_killed"] = schedule(at("ray"), runs, kill=True, launch=by_ray)
        except ModuleNotFoundError:
            print("Ray is not installed: not tried")
        return found


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument(
        "--runs", type=int, default=0, help="one ladder of so many runs, local launcher, processes killed"
    )
    arguments = parser.parse_args()
    result = run(arguments.quick, arguments.runs)
    save("scale" if arguments.runs else "scheduler", result, None, arguments.quick)
    parts = [part for part in result.values() if isinstance(part, dict)]
    sys.exit(any(part[name] for part in parts for name in ("lost", "doubled", "stuck")))
