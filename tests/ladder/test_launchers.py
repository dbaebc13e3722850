"""Ray and Slurm: the same results as one process, whatever dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from laimbench.errors import InputError, RunError
from laimbench.ladder import Job, sweep
from laimbench.ladder import slurm_launcher as slurm
from laimbench.ladder.config import make_ladder
from laimbench.ladder.job import read_job, write_job
from laimbench.ladder.ray_launcher import launch_ray, needs_of, start_ray, tasks_that_fit
from laimbench.store import Store
from laimbench.store_address import StoreAddress
from tests.ladder import fake_slurm, real_slurm

LADDER = make_ladder(
    {"name": "tiny", "family": "mlp", "seeds": [0, 1], "tokens": [3200], "sizes": [{"width": 8}, {"width": 16}]}
)
LONG = make_ladder(
    {
        "name": "long",
        "family": "mlp",
        "backends": ["torch"],
        "seeds": [0, 1],
        "tokens": [320000],
        "sizes": [{"width": 8}],
    }
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Losses by key, as one process has them."""
    with Store(tmp_path_factory.mktemp("alone") / "runs.sqlite") as store:
        sweep(LADDER, store)
        return losses(store)


def losses(store):
    return {run.key: [m.val_loss for m in store.metrics(run.id)] for run in store.runs(status="done")}


def same_as(alone, path):
    with Store(path) as store:
        found = losses(store)
    assert found.keys() == alone.keys()
    assert all(found[key] == pytest.approx(alone[key], rel=1e-6) for key in alone)


def when_two_are_at_work(path, seen):
    """Return a function for ``look`` that calls another once, as soon as two runs have begun."""

    def look():
        with Store(path) as store:
            if not seen and len(store.runs(status="running")) == 2:
                seen.append(True)
                raise KeyboardInterrupt

    return look


def test_a_job_in_a_file_is_the_job(tmp_path, monkeypatch):
    file = tmp_path / "job.json"
    for store in (StoreAddress.of(tmp_path / "runs.sqlite"), StoreAddress("postgresql://me:secret@host/d", tmp_path)):
        job = Job(LADDER, store, 3, checkpoints=tmp_path / "models", save_every_s=7.0, before={"k": ("failed", "2026")})
        write_job(job, file)
        assert read_job(file) == job and file.stat().st_mode & 0o077 == 0  # nobody else reads the password
    monkeypatch.chdir(tmp_path)
    write_job(Job(LADDER, StoreAddress("postgresql://host/d"), 3), file)
    monkeypatch.chdir("/")  # where a task may begin
    assert read_job(file).store.beside("states").parent == tmp_path / "laimbench.states"
    (tmp_path / "job.json").write_text('{"name": 1}')
    with pytest.raises(InputError, match=r"job.json: not a job of laimbench"):
        read_job(tmp_path / "job.json")


@pytest.fixture
def fake(tmp_path, monkeypatch):
    folder = tmp_path / "slurm"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{fake_slurm.install(folder)}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "ASK_S", 0.5)
    return folder


def test_slurm_tasks_train_what_one_process_does(tmp_path, fake, alone):
    path = tmp_path / "runs.sqlite"
    outcome = slurm.launch_slurm(Job(LADDER, path, 1), 2, tmp_path / "out", ["--partition=gpu"])
    assert outcome.trained == 8 and not outcome.failures
    same_as(alone, path)
    asked = (fake / "asked").read_text()
    assert "--array=0-1" in asked and "--signal=B:TERM@60" in asked and "--partition=gpu" in asked
    again = slurm.launch_slurm(Job(LADDER, path, 1), 2, tmp_path / "out")
    assert (
        again.trained == 0 and again.skipped == 8 and (fake / "asked").read_text() == asked
    )  # nothing is submitted for nothing


def test_killed_slurm_tasks_are_submitted_again(tmp_path, fake, alone):
    killed = []

    def look():
        for pid in (pid for pids in fake_slurm.arrays(fake).values() for pid in pids):
            if len(killed) < 2 and pid not in killed:
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)

    outcome = slurm.launch_slurm(Job(LADDER, tmp_path / "runs.sqlite", 1), 2, tmp_path / "out", look=look)
    assert len(killed) == 2 and outcome.trained == 8 and len(fake_slurm.arrays(fake)) > 1
    same_as(alone, tmp_path / "runs.sqlite")


def test_slurm_tasks_that_never_get_anywhere_end_it(tmp_path, fake, monkeypatch):
    monkeypatch.setattr(slurm, "write_job", lambda job, path: path.write_text("{}"))
    with pytest.raises(InputError, match=r"job\.json: not a job of laimbench"):
        slurm.launch_slurm(Job(LADDER, tmp_path / "runs.sqlite", 1), 1, tmp_path / "out")
    monkeypatch.setattr(slurm.sys, "executable", "/bin/false")
    monkeypatch.setattr(slurm, "ASK_S", 0.0)
    monkeypatch.setattr(slurm, "refusal", lambda path: None)
    with pytest.raises(RunError, match=r"processes died one after the other, the last with its output in .*out"):
        slurm.launch_slurm(Job(LADDER, tmp_path / "runs.sqlite", 1), 1, tmp_path / "out")


def test_what_ends_the_sweep_cancels_its_slurm_tasks(tmp_path, fake):
    path = tmp_path / "runs.sqlite"
    with pytest.raises(KeyboardInterrupt):
        slurm.launch_slurm(Job(LONG, path, 1), 2, tmp_path / "out", look=when_two_are_at_work(path, []))
    deadline = time.monotonic() + 30
    while any(fake_slurm.arrays(fake).values()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with Store(path) as store:
        at_work = {run.key for run in store.runs(status="running")}
    assert len(at_work) == 2 and at_work <= {p.name for p in Path(f"{path}.states").iterdir()}


def test_what_sbatch_refuses_is_one_line(tmp_path, fake, monkeypatch):
    (fake / "refuse").touch()
    with pytest.raises(
        InputError, match=r"^sbatch failed with code 1: sbatch: error: invalid partition specified: moon$"
    ):
        slurm.launch_slurm(Job(LADDER, tmp_path / "runs.sqlite", 1), 1, tmp_path / "out")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="sbatch: no such command, expected Slurm's on the PATH"):
        slurm.launch_slurm(Job(LADDER, tmp_path / "runs.sqlite", 1), 1, tmp_path / "out")


ON_GPUS = make_ladder(
    {"name": "g", "family": "mlp", "device": "cuda", "seeds": [0], "tokens": [320], "sizes": [{"width": 8}]}
)


def test_a_slurm_task_asks_for_a_gpu_where_the_ladder_is_trained_on_them(tmp_path, fake, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that there is none for the tasks, wherever this runs
    with pytest.raises(InputError, match="device is 'cuda', but torch sees no CUDA device here"):
        slurm.launch_slurm(Job(ON_GPUS, tmp_path / "runs.sqlite", 1), 1, tmp_path / "out", ["--partition=gpu"])
    asked = (fake / "asked").read_text()
    assert "--gres=gpu:1" in asked and asked.index("--gres") < asked.index("--partition")  # which come last and win
    with Store(tmp_path / "runs.sqlite") as store:
        assert store.runs() == []
    assert slurm.gpus_of(Job(LADDER, tmp_path / "runs.sqlite", 1)) == []


def test_a_ray_task_asks_for_a_gpu_where_the_ladder_is_trained_on_them(tmp_path):
    on_cpu, on_gpus = needs_of(Job(LADDER, tmp_path, 2)), needs_of(Job(ON_GPUS, tmp_path, 2))
    assert on_cpu == {"num_cpus": 2} and on_gpus == {"num_cpus": 2, "num_gpus": 1}
    assert tasks_that_fit(on_cpu, {"CPU": 9.0}) == 4 and tasks_that_fit(on_cpu, {}) == 1
    assert tasks_that_fit(on_gpus, {"CPU": 9.0, "GPU": 8.0}) == 8
    with pytest.raises(InputError, match="device is 'cuda', but Ray's cluster has no GPU"):
        tasks_that_fit(on_gpus, {"CPU": 9.0})


def test_a_real_slurm(tmp_path, monkeypatch, alone):
    begun = time.monotonic()

    def started_by_now():
        if time.monotonic() - begun > 240 and not list((tmp_path / "out").glob("*.log")):
            raise real_slurm.NotHere("its tasks did not start within four minutes")

    try:
        with real_slurm.cluster() as config:
            monkeypatch.setenv("SLURM_CONF", str(config))
            outcome = slurm.launch_slurm(
                Job(LADDER, tmp_path / "runs.sqlite", 1), 2, tmp_path / "out", look=started_by_now
            )
    except real_slurm.NotHere as error:
        pytest.skip(f"no real Slurm here: {error}")
    assert outcome.trained == 8 and not outcome.failures
    same_as(alone, tmp_path / "runs.sqlite")


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'laimbench[ray]'")
    start_ray(num_cpus=2)
    yield ray
    ray.shutdown()


def test_ray_tasks_train_what_one_process_does_though_one_is_killed(tmp_path, ray, alone):
    path, killed = tmp_path / "runs.sqlite", []

    def look():
        with Store(path) as store, store.reading() as session:
            from laimbench.store.schema import Lease

            owners = [lease.owner for lease in session.query(Lease) if lease.owner]
        if owners and not killed:
            killed.append(int(owners[0].split("|")[1]))
            os.kill(killed[0], signal.SIGKILL)

    outcome = launch_ray(Job(LADDER, path, 1), 2, look=look)
    assert killed and outcome.trained == 8 and not outcome.failures
    same_as(alone, path)


def test_what_ends_the_sweep_ends_its_ray_tasks(tmp_path, ray):
    path = tmp_path / "runs.sqlite"
    with pytest.raises(KeyboardInterrupt):
        launch_ray(Job(LONG, path, 1), 2, look=when_two_are_at_work(path, []))
    with Store(path) as store:
        at_work = {run.key for run in store.runs(status="running")}
    assert len(at_work) == 2 and at_work <= {p.name for p in Path(f"{path}.states").iterdir()}


def test_what_a_ray_task_refuses_is_the_sweeps_error(tmp_path, ray):
    path = tmp_path / "runs.sqlite"
    with pytest.raises(InputError, match="a SQLite file of another program"):
        path.write_bytes(b"")
        Store(path).close()
        import sqlite3

        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA application_id = 1")
        launch_ray(Job(LADDER, path, 1), 1)


def test_without_ray_the_sweep_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'laimbench\[ray\]'"):
        launch_ray(Job(LADDER, tmp_path / "runs.sqlite", 1), 1)


def test_sigterm_to_a_sweep_by_ray_keeps_what_is_at_work(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'laimbench[ray]'")
    ladder, path = tmp_path / "long.toml", tmp_path / "runs.sqlite"
    ladder.write_text('name = "long"\nfamily = "mlp"\nbackends = ["torch"]\ntokens = [3200000]\n[[sizes]]\nwidth = 8\n')
    # As in a clone: sources that are not built, which must not be what Ray's workers import.
    (tmp_path / "laimbench").mkdir()
    (tmp_path / "laimbench" / "__init__.py").write_text("raise ImportError('not built')")
    code = "import sys; from laimbench.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-P", "-c", code, "sweep", str(ladder), "--store", str(path), "--launcher", "ray",
                                "--workers", "1"], stderr=subprocess.PIPE, text=True, cwd=tmp_path)  # fmt: skip
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None and time.monotonic() < deadline
        if path.exists():
            with Store(path) as store:
                if store.runs(status="running"):
                    break
        time.sleep(0.2)
    process.terminate()
    _, error = process.communicate(timeout=120)
    assert process.returncode == 143
    assert error.splitlines()[-1] == "error: terminated; what is at work is kept, started again it goes on from there"
    with Store(path) as store:
        (run,) = store.runs(status="running")
    assert list(Path(f"{path}.states", run.key).iterdir())
