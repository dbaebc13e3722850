"""The store: what is written is read back, foreign files are refused, a kill keeps what was committed."""

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from laimbench.errors import InputError, RunError
from laimbench.store import Store

FACTS = {"family": "gpt", "size": "d1-w32", "backend": "laim", "dtype": "fp32", "seed": 0, "params": 10,
         "params_non_embedding": 5, "tokens": 100, "flops": 6e3}  # fmt: skip


def metric(step, loss=2.0):
    return {"step": step, "tokens": step * 10, "flops": 60.0 * step, "train_s": 0.1 * step, "train_loss": float("nan"),
            "val_loss": loss, "tokens_per_s": 100.0}  # fmt: skip


def test_what_is_written_is_read_back(address):
    with Store(address) as store:
        first = store.begin_run("a", "sweep", {"width": 32}, FACTS, {"machine": "m"})
        store.begin_run("b", "sweep", {}, {**FACTS, "backend": "torch"}, {})
        store.log(first, [metric(0, 3.0), metric(5, 2.5)])
        store.finish_run(first, "done", {"accuracy": 0.5})
        store.save_document("bench", {"rows": [1]})
        store.save_document("bench", {"rows": [2]})
    with Store(address, must_exist=True) as store:
        run = store.find("a")
        assert (run.status, run.config, run.final_val_loss, run.train_s) == ("done", {"width": 32}, 2.5, 0.5)
        assert run.final_train_loss is None and run.summary == {"accuracy": 0.5} and run.finished_at
        assert [row.step for row in store.metrics(run.id)] == [0, 5]
        assert [r.key for r in store.runs(backend="torch")] == ["b"] and store.find("c") is None
        assert [d["rows"] for d in store.documents("bench")] == [[1], [2]]
        store.discard(run.id)
        assert store.find("a") is None and store.metrics(run.id) == []


@pytest.mark.parametrize("damage", [b"not json", b'"\xb8"'])
def test_a_damaged_value_is_said_in_one_line(tmp_path, damage):
    path = tmp_path / "runs.sqlite"
    with Store(path) as store:
        store.begin_run("a", "s", {}, FACTS, {})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET config = CAST(? AS TEXT)", (damage,))
    with Store(path) as store, pytest.raises(InputError, match=r"not a readable|Could not decode"):
        store.runs()


def test_foreign_and_corrupt_files_are_refused_and_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100)
    foreign = tmp_path / "other.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE t (x)")
    with Store(tmp_path / "own.sqlite") as store:
        store.begin_run("a", "s", {}, FACTS, {})
    whole = (tmp_path / "own.sqlite").read_bytes()
    corrupt = tmp_path / "corrupt.sqlite"
    corrupt.write_bytes(whole[:100] + b"\xff" * 3000 + whole[3100:])
    for path in (text, foreign, corrupt, tmp_path, tmp_path / "missing.sqlite"):
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(InputError, match=path.name) as caught, Store(path, must_exist=True) as store:
            store.runs()
        assert "\n" not in str(caught.value)
        assert (path.read_bytes() if path.is_file() else None) == before


def test_a_full_disk_is_said_and_keeps_what_was_committed(tmp_path):
    with Store(tmp_path / "runs.sqlite") as store:
        run = store.begin_run("a", "s", {}, FACTS, {})
        with store.database.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

        # SQLite's own limit on pages fails as a full disk does
        from sqlalchemy import event

        @event.listens_for(store.database.engine, "begin")
        def limit(connection):
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")

        with pytest.raises(RunError, match="disk full"):
            store.save_document("bench", {"long": "x" * 200_000})
        assert store.find("a").id == run


WRITER = """
import sys
from laimbench.store import Store
facts = {facts!r}
store = Store(sys.argv[1])
run = store.begin_run("a", "s", {{}}, facts, {{}})
for step in range(100000):
    store.log(run, [{{"step": step, "tokens": step, "flops": 1.0, "train_s": 0.1, "train_loss": 1.0, "val_loss": 1.0,
                     "tokens_per_s": 1.0}}])
    print(step, flush=True)
"""


def test_killed_while_writing(address):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER.format(facts=FACTS), address], stdout=subprocess.PIPE, text=True
    )
    for _ in range(20):
        last = int(writer.stdout.readline())
    time.sleep(0.05)
    writer.send_signal(signal.SIGKILL)
    rest = writer.stdout.read().split()
    writer.wait()
    said = int(rest[-1]) if rest else last
    with Store(address, must_exist=True) as store:
        steps = [row.step for row in store.metrics(1)]
        assert steps == list(range(len(steps))) and len(steps) >= said + 1  # everything said to be written is there
        assert store.find("a").status == "running"
    if "://" not in address:
        with closing(sqlite3.connect(address)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_two_stores_at_once(address):
    with Store(address) as one, Store(address) as other:
        first = one.begin_run("a", "s", {}, FACTS, {})
        second = other.begin_run("b", "s", {}, FACTS, {})
        for step in range(20):
            one.log(first, [metric(step)])
            other.log(second, [metric(step)])
        assert len(one.metrics(second)) == len(other.metrics(first)) == 20


def test_a_new_store_that_another_process_writes_to_is_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "runs.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA user_version = 0")  # now there is a file, without a write-ahead log
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(time, "sleep", lambda _seconds: other.execute("ROLLBACK"))
        with Store(path) as store:
            assert store.begin_run("a", "s", {}, FACTS, {}) == 1
