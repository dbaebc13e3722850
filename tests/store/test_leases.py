"""Leases: one owner at a time, taken over from the dead and the silent only, and nobody writes who lost theirs."""

import subprocess
import sys
import threading

import pytest
from sqlalchemy import update

from laimbench.errors import RunError
from laimbench.store import Leases, LostLease, Store, databases
from laimbench.store import leases as leases_module
from laimbench.store.leases import leases_of
from laimbench.store.owner import is_gone, own_name
from laimbench.store.schema import Lease
from tests.store.test_store import FACTS, metric


@pytest.fixture
def store(address):
    with Store(address) as opened:
        yield opened


class Clock:
    """A clock of our own for the leases, which looks never wait for."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(leases_module.time, "monotonic", lambda: self.now)


def test_a_run_has_one_owner(store):
    with Leases(store) as one, Leases(store) as other:
        (claim,) = one.claim(["a"])
        assert claim.token == 1 and other.claim(["a"]) is None
        assert other.claim(["b", "a"]) is None and [c.token for c in other.claim(["b"])] == [1]  # all or none
        one.release([claim])
        (again,) = other.claim(["a"])
        assert (again.token, again.deaths) == (2, 0)
        assert set(leases_of(store)) == {"a", "b"}
    assert leases_of(store) == {}


def test_who_lost_the_lease_cannot_write(store, monkeypatch):
    clock = Clock(monkeypatch)
    one, other = Leases(store), Leases(store)
    (claim,) = one.claim(["a"])
    run = store.begin_run("a", "s", {}, FACTS, {}, claim)
    store.log(run, [metric(0)], claim)
    assert other.claim(["a"]) is None
    clock.now += leases_module.STALE_S + 1
    (newer,) = other.claim(["a"])
    assert (newer.token, newer.deaths) == (2, 1)
    for write in (
        lambda: store.log(run, [metric(5)], claim),
        lambda: store.rewind(run, [], claim),
        lambda: store.reached(claim, 7),
        lambda: store.finish_run(run, "done", {}, "", claim),
        lambda: store.discard(run, claim),
        lambda: store.begin_run("a", "s", {}, FACTS, {}, claim),
    ):
        with pytest.raises(LostLease, match="taken over by another process"):
            write()
    assert [row.step for row in store.metrics(run)] == [0] and store.find("a").status == "running"
    one.release()  # lets go of what is its own only
    assert set(leases_of(store)) == {"a"}
    store.log(run, [metric(5)], newer)
    store.finish_run(run, "done", {}, "", newer)
    assert leases_of(store) == {}
    with pytest.raises(LostLease):
        store.log(run, [metric(9)], newer)


def test_a_heartbeat_keeps_a_lease(store, monkeypatch):
    clock = Clock(monkeypatch)
    beaten = threading.Event()
    with Leases(store, heartbeat_s=0.01) as one:
        one.claim(["a"])
        other = Leases(store)
        before = leases_of(store)["a"].beats
        for _ in range(5):
            assert other.claim(["a"]) is None
            clock.now += leases_module.STALE_S - 1
            while leases_of(store)["a"].beats == before:
                beaten.wait(0.01)
            before = leases_of(store)["a"].beats


def test_a_wall_clock_that_jumps_changes_nothing(store, monkeypatch):
    one, other = Leases(store), Leases(store)
    one.claim(["a"])
    for jump in (-1e9, 1e9):
        monkeypatch.setattr("time.time", lambda jump=jump: jump)
        assert other.claim(["a"]) is None


def test_the_dead_are_taken_over_from_at_once(store):
    code = "import sys, os\nfrom laimbench.store import Leases, Store\nLeases(Store(sys.argv[1])).claim(['a'])\nos.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, store.address.text], check=False).returncode == -9
    if sys.platform == "linux":
        assert not leases_of(store)["a"].alive
        (claim,) = Leases(store).claim(["a"])
        assert (claim.token, claim.deaths) == (2, 1)


def test_deaths_count_until_somebody_gets_further(store, monkeypatch):
    clock = Clock(monkeypatch)

    def take_over():
        clock.now += leases_module.STALE_S + 1
        successor = Leases(store)
        assert successor.claim(["a"]) is None  # it has to look for a while
        clock.now += leases_module.STALE_S + 1
        return successor.claim(["a"])[0]

    (claim,) = Leases(store).claim(["a"])
    assert [take_over().deaths for _ in range(2)] == [1, 2]
    store.reached(claim := take_over(), 10)
    assert take_over().deaths == 1
    claim = take_over()
    store.reached(claim, 10)  # no further than the ones before
    assert take_over().deaths == 3


def test_runs_that_take_turns_get_further_together(store):
    with Leases(store) as one:
        claims = one.claim(["a", "b"])
        with store.writing() as session:
            session.execute(update(Lease).values(deaths=3))
        store.reached(claims[0], 4)
        assert {lease.deaths for lease in leases_of(store).values()} == {0}


def test_names_of_owners():
    name = own_name()
    assert not is_gone(name) and own_name() != name
    place, pid, started, unique = name.split("|")
    if started:
        assert is_gone("|".join((place, pid, str(int(started) - 1), unique)))  # the id is another process's now
        assert not is_gone("|".join(("elsewhere", pid, "1", unique)))  # nothing is known there


def test_a_locked_store_is_one_line(store, monkeypatch):
    monkeypatch.setattr(databases, "BUSY_TIMEOUT_S", 0.1)
    with (
        Store(store.address) as impatient,
        store.writing(),
        pytest.raises(RunError, match="locked by another") as caught,
    ):
        impatient.save_document("bench", {})
    assert "\n" not in str(caught.value)


OPENER = """
import sys
from laimbench.store import Leases, Store
with Store(sys.argv[1]) as store, Leases(store) as leases:
    print(sum(leases.claim([str(i)]) is not None for i in range(20)), flush=True)
    sys.stdin.read()
"""


def test_processes_that_make_one_store_at_once_share_it(address):
    command = [sys.executable, "-c", OPENER, address]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    claimed = [int(process.stdout.readline()) for process in processes]
    assert sum(claimed) == 20  # none twice, none left
    for process in processes:
        process.communicate()
        assert process.returncode == 0
