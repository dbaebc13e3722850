"""Sweeps that share a store, and sweeps that go on: nothing lost, nothing doubled, nothing stuck."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import update

import laimbench
from laimbench.errors import RunError, Terminated
from laimbench.ladder import sweep
from laimbench.ladder.config import make_ladder
from laimbench.ladder.launcher import PROCESS_BYTES, environment_of, workers_that_fit
from laimbench.ladder.plan import TRAINING_BYTES, USABLE_MEMORY, RunPlan, run_key
from laimbench.ladder.sweep import Listener
from laimbench.store import Leases, Store
from laimbench.store.leases import MOST_DEATHS
from laimbench.store.owner import own_name
from laimbench.store.schema import Lease
from laimbench.train.device import VISIBLE, memories
from tests.ladder.test_ladder import VALUES, FailingTrainer

REAL = {"name": "r", "family": "mlp", "data": "builtin:digits", "tokens": [320], "sizes": [{"width": 8}],
        "train": {"batch_size": 32, "evals": 2}}  # fmt: skip


@dataclass
class Notes(Listener):
    lines: list[str] = field(default_factory=list)

    def note(self, message):
        self.lines.append(message)


def dead_owner():
    place, pid, started, unique = own_name().split("|")
    return "|".join((place, pid, str(int(started or 1) - 1), unique))


def steal(store, key, owner, **values):
    with store.writing() as session:
        session.execute(update(Lease).where(Lease.key == key).values(owner=owner, **values))


def test_two_sweeps_share_the_work_and_double_none(address):
    made, lock, ladder, outcomes = Counter(), threading.Lock(), make_ladder(VALUES), []

    def trainer(config):
        with lock:
            made[run_key(config)] += 1
        return FailingTrainer(config)

    together = threading.Barrier(3)

    class Punctual(Store):
        """Has all sweeps begin before the first has a run that failed: one that begins later trains that again."""

        def statuses(self, keys=None):
            found = super().statuses(keys)
            if not hasattr(self, "begun"):
                self.begun = together.wait(60)
            return found

    def one():
        with Punctual(address) as store:
            outcomes.append(sweep(ladder, store, trainer=trainer))

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(made.values()) == {1} and len(made) == 16
    assert sum(outcome.trained for outcome in outcomes) == 12 and sum(len(o.failures) for o in outcomes) == 4
    assert all(o.trained + o.skipped + o.elsewhere + len(o.failures) == 16 for o in outcomes)
    with Store(address) as store:
        assert sorted(run.status for run in store.runs()) == ["done"] * 12 + ["failed"] * 4


def test_what_failed_since_the_whole_began_is_not_trained_again_by_a_part(tmp_path):
    ladder = make_ladder({**VALUES, "seeds": [1]})
    with Store(tmp_path / "runs.sqlite") as store:
        before = store.statuses()
        assert len(sweep(ladder, store, trainer=FailingTrainer, before=before).failures) == 4
        late = sweep(
            ladder, store, trainer=FailingTrainer, before=before
        )  # as the process that comes for one that died
        assert (late.trained, late.failures, late.elsewhere) == (0, [], 8)
        assert len(sweep(ladder, store, trainer=FailingTrainer).failures) == 4


def test_a_run_that_another_process_took_over_is_left_to_it(tmp_path):
    ladder, notes, made = make_ladder({**VALUES, "seeds": [0], "tokens": [320], "sizes": [{"width": 4}]}), Notes(), []
    first = run_key(ladder.runs[0])
    with Store(tmp_path / "runs.sqlite") as store:

        class Robbed(FailingTrainer):
            def __init__(self, config):
                super().__init__(config)
                made.append(config.backend)

            def advance(self):
                if self.segment == 1 and len(made) == 2:
                    steal(store, first, dead_owner(), token=7)  # by one who dies at once: it comes back here
                return super().advance()

        outcome = sweep(ladder, store, trainer=Robbed, listener=notes)
        assert (outcome.trained, outcome.failures, made) == (2, [], ["torch", "laim", "torch", "laim"])
        assert notes.lines == [f"store {store.address}: run {first[:8]} was taken over by another process"]
        assert all(len(store.metrics(run.id)) == 3 for run in store.runs(status="done"))


def test_a_run_that_kills_its_processes_is_given_up(tmp_path):
    ladder, key = make_ladder({**REAL, "backends": ["torch"]}), None
    with Store(tmp_path / "runs.sqlite") as store:
        key = run_key(ladder.runs[0])
        Leases(store).claim([key])
        steal(store, key, dead_owner(), deaths=MOST_DEATHS - 1)
        outcome = sweep(ladder, store)
        assert outcome.trained == 0 and len(outcome.failures) == 1
        assert f"{MOST_DEATHS} processes died" in outcome.failures[0] and store.find(key).status == "failed"
        assert sweep(ladder, store).trained == 1  # somebody who starts it again may have more memory


def test_a_run_that_cannot_begin_has_failed_and_the_others_go_on(tmp_path):
    def trainer(config):
        if config.backend == "laim":
            raise RunError("out of memory before the first step")
        return FailingTrainer(config)

    with Store(tmp_path / "runs.sqlite") as store:
        outcome = sweep(make_ladder(REAL), store, trainer=trainer)
        assert (outcome.trained, len(outcome.failures)) == (1, 1) and "out of memory" in outcome.failures[0]
        assert {run.backend: run.status for run in store.runs()} == {"torch": "done", "laim": "failed"}


class StopAt(Notes):
    """Ends the sweep after this many steps of all runs."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def stepped(self):
        self.left -= 1
        if self.left == 0:
            raise Terminated("stop")


def test_a_sweep_goes_on_in_the_middle_of_a_run_as_if_nothing_had_been(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the states of runs are kept whose store is on a server
    ladder = make_ladder(REAL)
    with Store(tmp_path / "whole.sqlite") as whole, Store(address) as cut:
        sweep(ladder, whole, checkpoints=tmp_path / "whole")
        for steps in (3, 5, 7):
            stop = StopAt(steps)
            with pytest.raises(Terminated):
                sweep(ladder, cut, listener=stop, checkpoints=tmp_path / "cut")
            assert {run.status for run in cut.runs()} == {"running"} and len(list(cut.states.iterdir())) == 2
        notes = Notes()
        assert sweep(ladder, cut, listener=notes, checkpoints=tmp_path / "cut").trained == 2
        assert len([line for line in notes.lines if "goes on from step" in line]) == 2
        for run in whole.runs():
            pairs = zip(whole.metrics(run.id), cut.metrics(cut.find(run.key).id), strict=True)
            assert all((a.step, a.train_loss, a.val_loss) == (b.step, b.train_loss, b.val_loss) for a, b in pairs)
            assert cut.find(run.key).summary == run.summary
        assert not cut.states.exists() or list(cut.states.iterdir()) == []
    for weights in (tmp_path / "whole").glob("*/*.safetensors"):
        assert weights.read_bytes() == (tmp_path / "cut" / weights.parent.name / weights.name).read_bytes()


def test_a_sweep_can_be_ended_between_runs_that_take_no_steps(tmp_path):
    ladder = make_ladder({**VALUES, "backends": ["torch"]})
    with Store(tmp_path / "runs.sqlite") as store:
        with pytest.raises(Terminated):
            sweep(ladder, store, listener=StopAt(3), trainer=FailingTrainer)
        assert [run.status for run in store.runs()] == ["done", "done"]


def test_a_locked_store_ends_the_sweep_with_its_states_written(tmp_path, monkeypatch):
    monkeypatch.setattr("laimbench.store.databases.BUSY_TIMEOUT_S", 0.05)
    ladder = make_ladder({**REAL, "backends": ["torch"]})
    with Store(tmp_path / "runs.sqlite") as store, Store(tmp_path / "runs.sqlite") as other:

        class Locking(StopAt):
            def stepped(self):
                self.left -= 1
                if self.left == 0:
                    locked.enter_context(other.writing())

        with ExitStack() as locked, pytest.raises(RunError, match="locked by another process"):
            sweep(ladder, store, listener=Locking(3))
        notes = Notes()
        assert sweep(ladder, store, listener=notes).trained == 1
        assert any(
            "goes on from step 5 of 10" in line for line in notes.lines
        )  # where it wanted to record an evaluation


def test_a_state_without_its_run_is_not_used(tmp_path):
    ladder = make_ladder({**REAL, "backends": ["torch"]})
    with Store(tmp_path / "runs.sqlite") as store:
        with pytest.raises(Terminated):
            sweep(ladder, store, listener=StopAt(3))
        store.discard(store.runs()[0].id)
        notes = Notes()
        assert sweep(ladder, store, listener=notes).trained == 1 and "goes on" not in " ".join(notes.lines)


def test_no_more_workers_than_memory_allows(monkeypatch):
    ladder = make_ladder({**VALUES, "seeds": [0]})
    plans = [RunPlan(config, 10**9 if config.width == 8 else 10**8, 1, 1, 1.0, None) for config in ladder.runs]
    large = PROCESS_BYTES + 2 * 10**9 * TRAINING_BYTES  # a pair trains together
    for memory, expected in ((0.1, 1), (1.01, 1), (2.01, 2), (2.15, 3), (2.3, 4), (9, 4)):
        monkeypatch.setattr("laimbench.provenance.memory_bytes", lambda m=memory: m * large / USABLE_MEMORY)
        assert workers_that_fit(plans, 16, memories("")) == expected, memory
    assert workers_that_fit(plans, 2, memories("")) == 2


def test_no_more_workers_than_the_memory_of_gpus_allows():
    ladder = make_ladder({**VALUES, "seeds": [0]})
    plans = [RunPlan(config, 10**9, 1, 1, 1.0, None) for config in ladder.runs]  # four groups of one size
    gpu = int((PROCESS_BYTES + 2 * 10**9 * TRAINING_BYTES) / USABLE_MEMORY) + 1
    assert workers_that_fit(plans, 2, [gpu, gpu]) == 2  # each on a GPU of its own
    assert workers_that_fit(plans, 16, [gpu, gpu]) == 2 and workers_that_fit(plans, 16, [2 * gpu, 3 * gpu]) == 4
    assert workers_that_fit(plans, 3, [gpu // 2]) == 1  # that it does not fit is for the run to say


def test_processes_are_dealt_out_to_gpus_in_turns():
    assert [environment_of(number, ["4", "6"])[VISIBLE] for number in range(5)] == ["4", "6", "4", "6", "4"]
    assert environment_of(3, []) == {}


def noting_its_gpu(config):
    """Build a trainer in a worker, which dies the first time that the second GPU's gets here; the others go on when all have been here."""
    gpu, path = os.environ[VISIBLE], Path(os.environ["LAIMBENCH_TEST_NOTES"])
    with path.open("a") as notes:
        notes.write(f"{gpu} {os.getpid()}\n")
    if gpu == "6" and path.read_text().count("6 ") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    patience = time.monotonic() + 60
    while sorted(note.split()[0] for note in set(path.read_text().splitlines())) != ["4", "6", "6"]:
        assert time.monotonic() < patience
        time.sleep(0.02)
    return FailingTrainer(config)


def test_each_worker_has_its_gpu_and_so_has_who_comes_for_one_that_died(tmp_path):
    notes, script = tmp_path / "notes", tmp_path / "start.py"
    script.write_text(  # of its own, so that the server that workers are forked from has this environment
        "from pathlib import Path\n"
        "from laimbench.ladder import Job, launch_local\n"
        "from laimbench.ladder.config import make_ladder\n"
        "from tests.ladder.test_ladder import VALUES\n"
        "from tests.ladder.test_sharing import noting_its_gpu\n"
        "if __name__ == '__main__':\n"
        f"    job = Job(make_ladder(VALUES), Path({str(tmp_path / 'runs.sqlite')!r}), 1, trainer=noting_its_gpu)\n"
        "    launch_local(job, 2, gpus=['4', '6'])\n"
    )
    roots = [Path(laimbench.__file__).resolve().parent.parent, Path(__file__).resolve().parent.parent.parent]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots)), "LAIMBENCH_TEST_NOTES": str(notes)}
    subprocess.run([sys.executable, script], env=environment, check=True)
    seen = {tuple(line.split()) for line in notes.read_text().splitlines()}
    assert sorted(gpu for gpu, _ in seen) == ["4", "6", "6"]  # two processes on the second one, the first of which died


def test_workers_use_the_installed_package_and_not_sources_of_the_working_folder(tmp_path):
    (tmp_path / "laimbench").mkdir()
    (tmp_path / "laimbench" / "__init__.py").write_text("raise SystemExit('sources that are not built')\n")
    script = tmp_path / "elsewhere" / "start.py"
    script.parent.mkdir()
    script.write_text(
        "import laimbench\n"
        "from laimbench.ladder.launcher import fork_server\n"
        "if __name__ == '__main__':\n"
        "    process = fork_server().Process(target=laimbench.build_info)\n"
        "    process.start()\n"
        "    process.join()\n"
        "    raise SystemExit(process.exitcode)\n"
    )
    root = str(Path(laimbench.__file__).resolve().parent.parent)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, check=False)
    assert done.returncode == 0


def test_runs_that_are_done_cost_no_questions_each(tmp_path):
    class Counting(Store):
        asked = 0

        def read(self, *arguments):
            self.asked += 1
            return super().read(*arguments)

    asked = []
    for seeds in ([0], [0, 2, 3, 4]):
        ladder = make_ladder({**VALUES, "seeds": seeds})
        with Counting(tmp_path / f"{len(seeds)}.sqlite") as store:
            sweep(ladder, store, trainer=FailingTrainer)
            store.asked = 0
            assert sweep(ladder, store, trainer=FailingTrainer).skipped == len(ladder.runs)
            asked.append(store.asked)
    assert asked[0] == asked[1] > 0
