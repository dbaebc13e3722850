"""Does a sweep that a power cut ended keep what it had promised, and end bit for bit as one that was left alone?

Run by ``make study-power-cut`` (QUICK=1: a few cuts). A sweep of two paired runs, which writes a state after every step, is recorded call by call
(strace). At calls drawn at random the power is cut: a model of a file system says what may then be on the disk
(``studies/disk_model.py``), a folder is made with that, and held against what the sweep had said to be kept: evaluations and ends of runs in
the store, models of runs that are done, the latest state. Then the sweep is started again in that folder, and its evaluations and weights
are held against those of the one left alone. The same cuts of sweeps that sync less show that the check finds what is missing.
"""

import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from disk_model import STRACE, Call, Disk, read_record, read_tree, write_tree
from faults import LADDER, outcome_of
from sqlalchemy import event
from sqlalchemy.pool import Pool
from study_result import command_line, save

from laimbench import files
from laimbench.errors import LaimbenchError
from laimbench.ladder import sweep
from laimbench.ladder.config import Ladder, make_ladder
from laimbench.ladder.plan import run_key
from laimbench.ladder.sweep import Listener, checkpoint_name
from laimbench.store import Store
from laimbench.train import Keeper, Trainer, load_checkpoint

SEED, STEPS = 8, 12
CUTS, LESS_CUTS, QUICK_CUTS = 400, 40, 6
CHANCES = (0.0, 0.5, 0.9)  # of a page, or a change of names, that was not synced to be on the disk
STORE, PROMISES = "runs.sqlite", "promises"


def ladder() -> Ladder:
    return make_ladder({**LADDER, "tokens": [STEPS * 128], "train": {**LADDER["train"], "evals": 3}})


def run_sweep(folder: Path, listener: Listener | None = None) -> None:
    with Store(folder / STORE) as store:
        outcome = sweep(ladder(), store, listener=listener, checkpoints=folder / "models", save_every_s=0)
    assert not outcome.failures


def without_sync(folders: bool) -> Any:
    """Return a context in which folders are not synced, or files are not."""
    synced = files.fsync
    return patch.object(files, "fsync", lambda path: None if Path(path).is_dir() == folders else synced(path))


@contextmanager
def commits_at_once() -> Iterator[None]:
    """SQLite does not wait for the disk."""

    def hurry(connection: Any, *_: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(Pool, "checkout", hurry)
    yield
    event.remove(Pool, "checkout", hurry)


LESS = {
    "files are not synced": lambda: without_sync(folders=False),
    "folders are not synced": lambda: without_sync(folders=True),
    "SQLite does not wait": commits_at_once,
}


def record(folder: Path, less: str) -> None:
    """Sweep in a folder, and write down there what is promised from when on."""

    def promise(*what: object) -> None:
        with (folder / PROMISES).open("a") as stream:
            stream.write(json.dumps(what) + "\n")

    class Promising(Listener):
        def evaluated(self, config, trainer, evaluation):
            promise("evaluation", run_key(config), evaluation.step)

        def finished(self, config, error):
            promise("done", run_key(config), checkpoint_name(config))

    save_state = Keeper.save

    def saved(keeper: Keeper) -> None:
        save_state(keeper)
        promise("state", keeper.folder.name, keeper.trainer.step)

    with ExitStack() as stack:
        stack.enter_context(patch.object(Keeper, "save", saved))
        if less:
            stack.enter_context(LESS[less]())
        run_sweep(folder, Promising())


def recorded(folder: Path, less: str) -> list[Call]:
    """Have another process sweep in a new folder; return the calls that it made."""
    folder.mkdir()
    trace = folder.parent / f"{folder.name}.strace"
    subprocess.run(
        [*STRACE, "-o", str(trace), sys.executable, __file__, "--record", str(folder), "--less", less], check=True
    )
    return list(read_record(trace))


def broken_promises(folder: Path, promises: list[list]) -> list[str]:
    """Return what a folder does not have of what was promised."""
    found, configs = [], {run_key(config): config for config in ladder().runs}
    if not (folder / STORE).exists():
        return ["the store is not there"] if promises else []
    with Store(folder / STORE) as store:
        runs = {run.key: run for run in store.runs()}
        steps = {key: {row.step for row in store.metrics(run.id)} for key, run in runs.items()}
        for kind, key, value in promises:
            done = key in runs and runs[key].status == "done"
            if kind == "evaluation" and value not in steps.get(key, ()):
                found.append("an evaluation is not in the store")
            elif kind == "done" and not done:
                found.append("a run that is done is not in the store")
            elif kind == "done":
                found += [] if whole(folder / "models" / value) else ["a model is not there"]
            elif kind == "state" and not done and (kept_step(store.states / key, configs[key]) or 0) < value:
                found.append("a state is not there")
    return found


def whole(model: Path) -> bool:
    try:
        load_checkpoint(model)
    except LaimbenchError:
        return False
    return True


def kept_step(folder: Path, config: Any) -> int | None:
    """Return the step at which a run would go on."""
    trainer = Trainer(config)
    return None if Keeper(folder, trainer).resume() is None else trainer.step


def weights_and_losses(folder: Path) -> dict[str, Any]:
    (folder / "losses").touch()  # of single steps: those before the cut are not known
    found = outcome_of(folder)
    return {name: found[name] for name in ("evaluations", "statuses", "weights")}


def cut(disk: Disk, folder: Path, kept: float, generator: random.Random, expected: dict[str, Any]) -> list[str]:
    """Cut the power, look at what is left, and go on there; return what is not as it has to be."""
    promises = [json.loads(line) for line in disk.top.content().get(PROMISES, b"").splitlines()]
    write_tree({name: node for name, node in disk.top.after_cut(kept, generator).items() if name != PROMISES}, folder)
    found = []
    try:
        found += broken_promises(folder, promises)
        run_sweep(folder)
    except LaimbenchError as error:
        return [*found, f"the sweep does not go on ({type(error).__name__})"]
    return found if weights_and_losses(folder) == expected else [*found, "another result"]


def study(folder: Path, cuts: int, less: str = "") -> dict[str, Any]:
    """Record a sweep and cut the power this many times."""
    folder.mkdir()
    calls = recorded(folder / "alone", less)
    whole, changing = Disk(folder / "alone"), []
    for number, call in enumerate(calls):
        if whole.apply(call):
            changing.append(number)
    assert whole.top.content() == read_tree(folder / "alone"), "the model of the file system is not what the system did"
    expected, generator = weights_and_losses(folder / "alone"), random.Random(SEED)
    at = Counter(generator.choices(changing, k=cuts))
    disk, broken, made, losing = Disk(folder / "alone"), Counter(), 0, 0
    for number, call in enumerate(calls):
        for _ in range(at[number]):
            into = folder / f"cut{made}"
            found = set(cut(disk, into, CHANCES[made % len(CHANCES)], generator, expected))
            broken.update(found)
            made += 1
            losing += bool(found)
            shutil.rmtree(into)
        disk.apply(call)
    return {"syncs": less or "as they are", "calls": len(changing), "cuts": made, "with_loss": losing,
            "lost": dict(broken)}  # fmt: skip


def run(quick: bool) -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for number, less in enumerate(("", *list(LESS)[: 1 if quick else None])):
            cuts = QUICK_CUTS if quick else LESS_CUTS if less else CUTS
            rows.append(study(Path(name) / str(number), cuts, less))
            print(
                "{syncs}: {cuts} cuts at {calls} calls, {with_loss} with a loss {lost}".format(**rows[-1]), flush=True
            )
    return {"seed": SEED, "chances": CHANCES, "rows": rows}


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("--record", type=Path, help="what the study runs under strace")
    parser.add_argument("--less", default="")
    options = parser.parse_args()
    if options.record:
        torch.set_num_threads(1)
        record(options.record, options.less)
    elif shutil.which(STRACE[0]) is None:
        print("study-power-cut: skipped, strace is not installed")
    else:
        result = run(options.quick)
        save("power-cut", result, None, options.quick)
        # Without syncs something must be seen to be lost, else the check sees nothing.
        sys.exit(bool(result["rows"][0]["with_loss"]) or not all(row["with_loss"] for row in result["rows"][1:]))
