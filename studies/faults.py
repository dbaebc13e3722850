"""Does a run that is killed with SIGKILL at random moments, also inside the writing of its state, end bit for bit as one that is not?

Run by ``make study-faults`` (QUICK=1: 4 kills). A sweep of two paired runs writes its state after every step, which puts most of its time into
writing. It is started in a process of its own, killed a random time after its first step (every second one when next a state is being written), and started
again until nothing is left to do; the kills go on over as many sweeps as it takes. Of every sweep the losses of all steps, the evaluations and the final weights are held against those
of one that was left alone. A kill counts as inside a writing when it left a state's temporary file behind.
"""

import hashlib
import json
import random
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from study_result import command_line, save

from laimbench.ladder.launcher import fork_server

SEED = 8
KILLS, QUICK_KILLS = 50, 4
STEPS = 48
WRITINGS = "runs.sqlite.states/*/.writing-*"
LADDER = {
    "name": "faults", "family": "gpt", "data": "synthetic:markov?states=16", "backends": ["torch", "laim"], "tokens": [STEPS * 128],
    "sizes": [{"width": 32, "depth": 1}], "train": {"seqlen": 16, "batch_size": 8, "evals": 6, "eval_tokens": 256},
}  # fmt: skip


def worker(store: Path, losses: Path) -> None:
    """Sweep, with every step's loss appended to a file."""
    import torch

    from laimbench.ladder import sweep
    from laimbench.ladder.config import make_ladder
    from laimbench.store import Store
    from laimbench.train import Trainer

    torch.set_num_threads(1)

    class Noting(Trainer):
        def train_step(self):
            step, loss = self.step, super().train_step()
            with losses.open("a") as stream:
                stream.write(json.dumps([self.config.backend, step, loss]) + "\n")
            return loss

    with Store(store) as opened:
        outcome = sweep(
            make_ladder(LADDER), opened, trainer=Noting, checkpoints=store.parent / "models", save_every_s=0
        )
    assert not outcome.failures


def start(folder: Path) -> BaseProcess:
    """Start a worker, forked from a process that has torch imported already."""
    process = fork_server().Process(target=worker, args=(folder / "runs.sqlite", folder / "losses"))
    process.start()
    return process


def end(process: BaseProcess) -> None:
    process.join()
    assert process.exitcode == 0, "a worker that nobody killed failed"


def wait_for_a_step(process: BaseProcess, losses: Path) -> None:
    """Return as soon as a process trains: kills while it imports and builds would prove nothing."""
    before = losses.stat().st_size if losses.exists() else 0
    while process.is_alive() and (losses.stat().st_size if losses.exists() else 0) == before:
        time.sleep(0.002)


def wait_for_writing(process: BaseProcess, folder: Path) -> None:
    """Return as soon as a state is being written, or the process has ended."""
    while process.is_alive() and not any(folder.glob(WRITINGS)):
        time.sleep(0.0005)


def outcome_of(folder: Path) -> dict:
    """Return what a finished sweep left: each step's losses as they were (every time it was taken), evaluations, weights."""
    from laimbench.store import Store

    seen: dict[str, set[float]] = {}
    for line in (folder / "losses").read_text().splitlines():
        try:
            backend, step, loss = json.loads(line)
        except ValueError:
            continue  # the line at which the process was killed
        seen.setdefault(f"{backend} {step}", set()).add(loss)
    with Store(folder / "runs.sqlite", must_exist=True) as store:
        runs = store.runs()
        evaluations = {run.backend: [[m.step, m.train_loss, m.val_loss] for m in store.metrics(run.id)] for run in runs}
        statuses = sorted(run.status for run in runs)
    weights = {
        path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("models/*/*.safetensors")
    }
    return {"losses": {step: sorted(values) for step, values in seen.items()}, "evaluations": evaluations,
            "statuses": statuses, "weights": weights}  # fmt: skip


def run(quick: bool) -> dict:
    kills, generator = QUICK_KILLS if quick else KILLS, random.Random(SEED)
    with tempfile.TemporaryDirectory() as temporary:
        alone = Path(temporary) / "alone"
        alone.mkdir()
        process = start(alone)
        wait_for_a_step(process, alone / "losses")
        started = time.perf_counter()
        end(process)
        duration = time.perf_counter() - started
        expected = outcome_of(alone)
        assert len(expected["losses"]) == 2 * STEPS and expected["statuses"] == ["done", "done"]
        done, inside, identical, sweeps = 0, 0, 0, 0
        while done < kills:
            folder = Path(temporary) / f"sweep{sweeps}"
            folder.mkdir()
            sweeps, killed = sweeps + 1, 0
            process = start(folder)
            while done < kills:
                wait_for_a_step(process, folder / "losses")
                process.join(generator.uniform(0.0, 0.4) * duration)
                if done % 2:
                    wait_for_writing(process, folder)
                if not process.is_alive():
                    break
                process.kill()
                process.join()
                done, killed = done + 1, killed + 1
                inside += any(folder.glob(WRITINGS))
                process = start(folder)
            end(process)
            same = outcome_of(folder) == expected
            identical += killed * same
            print(f"sweep {sweeps}: {killed} kills, {'the same' if same else 'DIFFERENT'}", flush=True)
    return {"seed": SEED, "ladder": LADDER, "kills": done, "inside_a_writing": inside, "bit_identical": identical,
            "sweeps": sweeps, "training_seconds_left_alone": round(duration, 2)}  # fmt: skip


if __name__ == "__main__":
    study = run(command_line(__doc__).parse_args().quick)
    print(f"{study['bit_identical']} of {study['kills']} kills went on bit for bit, "
          f"{study['inside_a_writing']} of them inside the writing of a state")  # fmt: skip
    save("faults", study, None, study["kills"] != KILLS)
    sys.exit(study["bit_identical"] != study["kills"])
