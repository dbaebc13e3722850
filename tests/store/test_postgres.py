"""PostgreSQL: what it refuses is one line without a password, and a server that is away costs nothing and doubles nothing."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from laimbench.cli import main
from laimbench.errors import InputError, RunError
from laimbench.ladder import Job, launch_local, sweep
from laimbench.ladder.config import make_ladder
from laimbench.store import Leases, LostLease, MissingStore, Store
from laimbench.store import leases as leases_module
from laimbench.store import store as store_module
from laimbench.store_address import StoreAddress
from tests.ladder.test_sharing import REAL, StopAt
from tests.postgres import PASSWORD, serving
from tests.store.test_store import FACTS, metric


@pytest.fixture
def url(postgres):
    return postgres.new_database()


@pytest.fixture(scope="module")
def restarted():
    """A server of its own, to be stopped and started."""
    with serving() as server:
        yield server


@pytest.mark.parametrize(("text", "shown"), [
    ("runs.sqlite", "runs.sqlite"),
    ("postgresql://host/d", "postgresql://host/d"),
    ("postgresql://me@host/d", "postgresql://me@host/d"),
    ("postgresql://me:secret@host:5432/d", "postgresql://me:***@host:5432/d"),
    ("postgresql://me:sec@ret/with:all@host/d", "postgresql://me:***@host/d"),
    ("postgresql:///d?host=/tmp&password=secret&user=me", "postgresql:///d?host=/tmp&password=***&user=me"),
])  # fmt: skip
def test_an_address_shows_no_password(text, shown):
    address = StoreAddress.of(text)
    assert str(address) == f"{address}" == shown and "secret" not in repr(address) and address.text == text


@pytest.mark.parametrize("text", ["mysql://me:secret@host/d", "postgresql://me:secret@host", "postgresql://me:secret@host:port/d",
                                  "sqlite:///runs.sqlite"])  # fmt: skip
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InputError, match="expected") as caught:
        Store(text)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def refusal(capfd, address, expected_code):
    """Return what is said when a store at this address is listed: one line without a password."""
    assert main(["runs", "list", address]) == expected_code
    said = capfd.readouterr().err
    assert said.startswith("error: store postgresql://") and said.count("\n") == 1
    assert PASSWORD not in said and "wrong-one" not in said and "100%" not in said
    return said


def test_what_cannot_be_opened_is_one_line(postgres, url, capfd):
    with postgres.connected(url.rpartition("/")[2]) as connection:
        assert "holds none" in refusal(capfd, url, 2)
        connection.execute("CREATE TABLE theirs (id INTEGER)")
        assert "tables of another program" in refusal(capfd, url, 2)
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (1,)
    assert "wrong user or password" in refusal(capfd, postgres.url("postgres", password="wrong-one"), 2)
    assert "no such database" in refusal(capfd, postgres.url("none"), 2)
    assert "server cannot be reached" in refusal(capfd, postgres.url("postgres", port=1), 1)
    assert "server cannot be reached" in refusal(capfd, "postgresql://laim:wrong-one@no-such-host.invalid/d", 1)


def test_read_only_is_read_only(url):
    with pytest.raises(MissingStore):
        Store(url, read_only=True)
    with Store(url) as store, Store(url, read_only=True) as reader:
        store.save_document("bench", {"rows": [1]})
        assert reader.documents("bench") == [{"rows": [1]}]
        with pytest.raises(InputError, match="cannot be opened for writing"):
            reader.save_document("bench", {})
        assert len(store.documents("bench")) == 1


def test_large_numbers_and_what_is_not_finite(url):
    with Store(url) as store:
        facts = {**FACTS, "params": 405 * 10**9, "tokens": 15 * 10**12, "flops": 3.8e25}
        run = store.begin_run("a", "s", {"width": 16384}, facts, {})
        store.finish_run(run, "done", {"accuracy": float("nan"), "of": [float("inf"), 1.0]})
        found = store.find("a")
        assert (found.params, found.tokens, found.flops) == (405 * 10**9, 15 * 10**12, 3.8e25)
        assert found.summary == {"accuracy": None, "of": [None, 1.0]}


WRITER = """
import sys
from laimbench.store import Store
facts = {facts!r}
with Store(sys.argv[1]) as store:
    run = store.begin_run(sys.argv[2], "s", {{}}, facts, {{}})
    print("begun", flush=True)
    for step in range(int(sys.argv[3])):
        store.log(run, [{{"step": step, "tokens": step, "flops": 1.0, "train_s": 0.1, "train_loss": 1.0, "val_loss": 1.0,
                         "tokens_per_s": 1.0}}])
        store.save_document(sys.argv[2], {{"step": step}})  # has no key that could refuse a second one
"""


def writer(address, key, steps):
    command = [sys.executable, "-c", WRITER.format(facts=FACTS), address, key, str(steps)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_write_at_once(url):
    processes = [writer(url, key, 100) for key in "ab"]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    for process in processes:
        process.stdout.close()
    with Store(url) as store:
        assert len(store.runs()) == 2
        for run in store.runs():
            assert (
                [row.step for row in store.metrics(run.id)]
                == list(range(100))
                == [d["step"] for d in store.documents(run.key)]
            )


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_restarted_in_the_middle_of_writing_loses_and_doubles_nothing(restarted, mode):
    url, steps = restarted.new_database(), 400
    processes = [writer(url, key, steps) for key in "ab"]
    for process in processes:
        assert process.stdout.readline() == "begun\n"
    for _ in range(3):
        time.sleep(0.15)
        restarted.stop(mode)
        assert all(process.poll() is None for process in processes)  # they were in the middle
        restarted.start()
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    for process in processes:
        process.stdout.close()
    with Store(url) as store:
        for run in store.runs():
            assert [row.step for row in store.metrics(run.id)] == list(range(steps))
            assert [d["step"] for d in store.documents(run.key)] == list(range(steps))


def break_off(postgres, database):
    with postgres.connected("postgres") as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])


@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
def test_a_transaction_whose_end_was_not_seen_is_done_once(postgres, url, monkeypatch, moment):
    """The connection breaks with the commit: before the server had it, or after, when only its answer is lost."""
    with Store(url) as store:
        dialect, broken = store.database.engine.dialect, []
        commit = dialect.do_commit

        def commit_and_break(connection):
            if broken:
                return commit(connection)
            broken.append(moment)
            if moment == "after the commit":
                commit(connection)
            break_off(postgres, url.rpartition("/")[2])
            connection.execute("SELECT 1")  # notices

        monkeypatch.setattr(dialect, "do_commit", commit_and_break)
        calls = []
        store.write(lambda session: calls.append(session))
        assert broken and len(calls) == (1 if moment == "after the commit" else 2)
        broken.clear()
        store.save_document("bench", {"rows": [1]})
        assert broken and store.documents("bench") == [{"rows": [1]}]


def test_a_finished_run_whose_end_was_not_seen_has_not_lost_its_lease(postgres, url, monkeypatch):
    with Store(url) as store, Leases(store) as leases:
        (claim,) = leases.claim(["a"])
        run = store.begin_run("a", "s", {}, FACTS, {}, claim)
        dialect = store.database.engine.dialect
        commit = dialect.do_commit

        def commit_and_break(connection):
            monkeypatch.undo()
            commit(connection)
            break_off(postgres, url.rpartition("/")[2])
            connection.execute("SELECT 1")

        monkeypatch.setattr(dialect, "do_commit", commit_and_break)
        store.finish_run(run, "done", {}, "", claim)
        assert store.find("a").status == "done"
        with pytest.raises(LostLease):
            store.log(run, [metric(0)], claim)


def test_a_server_that_stays_away_ends_in_one_line_after_a_while(restarted, monkeypatch):
    monkeypatch.setattr(store_module, "RETRY_S", 0.05)
    with Store(restarted.new_database()) as store:
        restarted.stop()
        try:
            began = time.monotonic()
            with pytest.raises(RunError, match="server cannot be reached") as caught:
                store.write(lambda session: None, patience_s=0.5)
            assert "\n" not in str(caught.value) and PASSWORD not in str(caught.value)
            assert 0.5 <= time.monotonic() - began < 5
            began = time.monotonic()
            with pytest.raises(RunError):
                store.save_document("bench", {})  # has a minute, but one wait in vain is enough
            assert time.monotonic() - began < 5
        finally:
            restarted.start()
        store.save_document("bench", {})
        assert len(store.documents("bench")) == 1 and store.outages == 1


def test_leases_do_not_go_stale_while_the_server_is_away(restarted, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(leases_module.time, "monotonic", lambda: clock[0])  # as of the store's: it never gives up
    with Store(restarted.new_database()) as store, Store(store.address) as another:
        one, other = Leases(store), Leases(another)
        one.claim(["a"])
        assert other.claim(["a"]) is None
        restarted.stop()
        starting = threading.Timer(0.5, restarted.start)
        starting.start()
        assert other.claim(["a"]) is None  # waits
        starting.join()
        clock[0] += leases_module.STALE_S - 1
        assert other.claim(["a"]) is None
        clock[0] += leases_module.STALE_S + 1
        assert other.claim(["a"])[0].token == 2


def test_a_killed_writer_lets_go_of_the_lock_at_once(url):
    code = "import sys, time\nfrom laimbench.store import Store\nwith Store(sys.argv[1]).writing(): print('locked', flush=True); time.sleep(60)"
    with Store(url) as store:
        holder = subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True)
        assert holder.stdout.readline() == "locked\n"
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
        began = time.monotonic()
        store.save_document("bench", {})
        assert time.monotonic() - began < 10


def test_a_full_disk_is_one_line(url, monkeypatch):
    """The server's answer is made up: what is tested is what becomes of it."""
    from psycopg.errors import DiskFull

    def full(*_):
        raise DiskFull("could not extend file: No space left on device\nHINT: Check free disk space.")

    with Store(url) as store:
        monkeypatch.setattr(store.database.engine.dialect, "do_commit", full)
        with pytest.raises(RunError, match="disk full") as caught:
            store.save_document("bench", {})
        assert "\n" not in str(caught.value)


def test_a_sweep_by_two_workers(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ladder = make_ladder({**REAL, "seeds": [0, 1]})
    outcome = launch_local(Job(ladder, StoreAddress.of(url), 1, checkpoints=tmp_path / "models"), 2)
    assert (outcome.trained, outcome.failures) == (4, [])
    with Store(url) as store:
        assert [run.status for run in store.runs()] == ["done"] * 4
        assert all([row.step for row in store.metrics(run.id)] == [0, 5, 10] for run in store.runs())
        assert store.states.parent == tmp_path / "laimbench.states"
    assert launch_local(Job(ladder, StoreAddress.of(url), 1), 2).skipped == 4


def test_the_verbs_take_a_url_and_show_no_password(url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["laimbench", "sweep", "ladder.toml", "--store", url])  # is kept with the runs
    (tmp_path / "ladder.toml").write_text(
        'name = "r"\nfamily = "mlp"\ndata = "builtin:digits"\ntokens = [320]\nsizes = [{width = 8}]\n'
        "train = {batch_size = 32, evals = 2}\n"
    )
    for arguments in (
        ["sweep", "ladder.toml", "--store", url],
        ["runs", "list", url],
        ["runs", "export", url],
        ["watch", url, "--once"],
        ["report", url, "--out", "page.html"],
        ["runs", "merge", "copy.sqlite", url],
    ):
        assert main(arguments) == 0, arguments
    assert main(["track", url, "copy.sqlite"]) == 4  # undecided
    page = (tmp_path / "page.html").read_text()
    with Store(url) as store:
        command = store.runs()[0].machine["command"]
    for told in (capsys.readouterr().out, page, command):
        assert PASSWORD not in told and "geheim" not in told and "postgresql://laim:***@" in told
    assert main(["track", url, "HEAD"]) == 2
    assert main(["fit", url, "--form", "power"]) == 2  # too few runs
    said = capsys.readouterr().err
    assert "geheim" not in said and "one is a store" in said and "expected at least 3" in said


class StopServer(StopAt):
    """Ends the server after this many steps; starts it again a while later unless it is to stay away."""

    def __init__(self, server, steps, back_s=None):
        super().__init__(steps)
        self.server, self.back_s, self.starting = server, back_s, None

    def stepped(self):
        self.left -= 1
        if self.left == 0:
            self.server.stop("immediate")
            if self.back_s is not None:
                self.starting = threading.Timer(self.back_s, self.server.start)
                self.starting.start()


def test_a_sweep_outlives_a_restart_of_the_server(restarted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store(restarted.new_database()) as store:
        listener = StopServer(restarted, 3, back_s=0.5)
        outcome = sweep(make_ladder(REAL), store, listener=listener)
        listener.starting.join()
        assert (outcome.trained, outcome.failures, store.outages) == (2, [], 1)
        assert all([row.step for row in store.metrics(run.id)] == [0, 5, 10] for run in store.runs(status="done"))


def test_a_sweep_whose_server_stays_away_ends_and_goes_on_from_its_states(restarted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store_module, "RECONNECT_S", 0.2)
    ladder = make_ladder({**REAL, "backends": ["torch"]})
    with Store(restarted.new_database()) as store:
        try:
            with pytest.raises(RunError, match="server cannot be reached"):
                sweep(ladder, store, listener=StopServer(restarted, 3))
        finally:
            restarted.start()
        notes = StopAt(-1)
        assert sweep(ladder, store, listener=notes).trained == 1
        assert any(
            "goes on from step 5 of 10" in line for line in notes.lines
        )  # where it wanted to record an evaluation
