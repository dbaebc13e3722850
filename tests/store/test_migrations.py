"""Older stores become present ones with all their rows, and the tables are then what the models say."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from sqlalchemy import text

from laimbench.errors import InputError
from laimbench.store import Leases, Store
from laimbench.store.databases import SQLite
from laimbench.store.migrations import VERSION_TABLE, migrate
from laimbench.store.schema import SCHEMA_VERSION, Base
from tests.store.test_store import FACTS, metric

# The tables as version 1 made them, and what versions 2 and 3 brought.
VERSION_1 = """
CREATE TABLE documents (id INTEGER NOT NULL, kind VARCHAR NOT NULL, created_at VARCHAR NOT NULL, body JSON NOT NULL, PRIMARY KEY (id));
CREATE TABLE runs (id INTEGER NOT NULL, "key" VARCHAR NOT NULL, sweep VARCHAR NOT NULL, family VARCHAR NOT NULL, size VARCHAR NOT NULL,
    backend VARCHAR NOT NULL, dtype VARCHAR NOT NULL, seed INTEGER NOT NULL, params INTEGER NOT NULL, params_non_embedding INTEGER NOT NULL,
    tokens INTEGER NOT NULL, flops DOUBLE NOT NULL, status VARCHAR NOT NULL, error VARCHAR NOT NULL, config JSON NOT NULL,
    machine JSON NOT NULL, summary JSON NOT NULL, started_at VARCHAR NOT NULL, finished_at VARCHAR NOT NULL, PRIMARY KEY (id), UNIQUE ("key"));
CREATE INDEX runs_by_sweep ON runs (sweep, status);
CREATE TABLE metrics (run_id INTEGER NOT NULL, step INTEGER NOT NULL, tokens INTEGER NOT NULL, flops DOUBLE NOT NULL, train_s DOUBLE NOT NULL,
    train_loss DOUBLE, val_loss DOUBLE, tokens_per_s DOUBLE, PRIMARY KEY (run_id, step),
    FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE);
"""
LEASES = """
CREATE TABLE leases ("key" VARCHAR NOT NULL, token INTEGER NOT NULL, owner VARCHAR NOT NULL, beats INTEGER NOT NULL, deaths INTEGER NOT NULL,
    reached INTEGER NOT NULL, PRIMARY KEY ("key"));
"""
WRITERS = "CREATE TABLE writers (name VARCHAR NOT NULL, written VARCHAR NOT NULL, PRIMARY KEY (name));"
ROWS = """
INSERT INTO runs VALUES (7, 'a', 's', 'gpt', 'd1', 'laim', 'fp32', 0, 10, 5, 100, 6e3, 'done', '', '{"width": 8}', '{}', '{}', 'x', 'y');
INSERT INTO metrics VALUES (7, 0, 10, 1.0, 0.1, NULL, 3.0, NULL);
INSERT INTO metrics VALUES (7, 5, 20, 2.0, 0.2, 2.5, 2.5, 9.0);
INSERT INTO documents VALUES (1, 'bench', 'x', '{"rows": [1]}');
"""


def make_old(address, version):
    """Put a store of an older version, with rows, at an address."""
    if "://" not in address:
        with closing(sqlite3.connect(address)) as connection:
            connection.executescript(VERSION_1 + LEASES * (version > 1) + WRITERS * (version > 2) + ROWS)
            connection.execute(f"PRAGMA application_id = {SQLite.APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version}")
        return
    from alembic import command
    from sqlalchemy import create_engine

    upgrade = command.upgrade
    engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    with pytest.MonkeyPatch.context() as patch, engine.begin() as connection:
        patch.setattr(command, "upgrade", lambda config, _head: upgrade(config, str(version)))
        migrate(connection, 0)
        connection.exec_driver_sql(ROWS)
    engine.dispose()


def differences(store):
    """Return what Alembic would change in the store's tables to have them as the models are."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store.database.engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)


def test_a_new_store_is_what_the_models_say(address):
    with Store(address) as store:
        assert differences(store) == []


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_store_of_an_older_version_is_migrated_in_place_with_its_rows(address, version):
    make_old(address, version)
    with Store(address, must_exist=True) as store:
        (run,) = store.runs()
        assert (run.id, run.key, run.config, run.final_val_loss) == (7, "a", {"width": 8}, 2.5)
        assert [row.step for row in store.metrics(7)] == [0, 5] and store.documents("bench") == [{"rows": [1]}]
        assert Leases(store).claim(["a"])[0].token == 1
        assert differences(store) == []
    with Store(address, must_exist=True) as store:
        assert store.database.version() == SCHEMA_VERSION and len(store.runs()) == 1


def test_a_sqlite_file_says_its_version_in_its_header_only(tmp_path):
    make_old(str(tmp_path / "runs.sqlite"), 1)
    for name in ("runs.sqlite", "new.sqlite"):
        Store(tmp_path / name).close()
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
            assert connection.execute("PRAGMA application_id").fetchone() == (SQLite.APPLICATION_ID,)
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables == set(Base.metadata.tables)


def test_a_migration_that_fails_leaves_the_store_as_it_was(address, monkeypatch):
    make_old(address, 1)
    monkeypatch.setattr("laimbench.store.databases.migrate", failing_migration)
    with pytest.raises(InputError, match="no_such_table"):
        Store(address)
    monkeypatch.undo()
    with Store(address) as store:
        assert len(store.runs()) == 1 and differences(store) == []


def failing_migration(connection, known):
    migrate(connection, known)
    connection.execute(text("SELECT * FROM no_such_table"))


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_a_store_of_a_later_version_is_refused(address, version):
    with Store(address) as store, store.database.engine.begin() as connection:
        newer = f"PRAGMA user_version = {version}" if "://" not in address else f"UPDATE {VERSION_TABLE} SET version_num = '{version}'"  # fmt: skip
        connection.execute(text(newer))
    with pytest.raises(InputError, match=f"schema version {version}, expected 1 to {SCHEMA_VERSION}"):
        Store(address)


def test_alembic_is_imported_for_migrations_only(tmp_path):
    code = "import sys\nfrom laimbench.store import Store\nfor _ in range(2): Store(sys.argv[1]).close()\nprint('alembic' in sys.modules)"
    for version, expected in ((None, "False"), (1, "True"), (2, "True"), (SCHEMA_VERSION, "False")):
        path = str(tmp_path / f"{version}.sqlite")
        if version is not None:
            make_old(path, version)
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected, version


def test_killed_as_it_gets_its_journal_a_store_is_made_again(tmp_path):
    with closing(sqlite3.connect(tmp_path / "alive")) as connection:
        connection.execute("PRAGMA cache_size = 1")  # so that changes are in the file before they are committed
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 3000,) for _ in range(20)])
        for name in ("", "-journal"):
            (tmp_path / f"runs.sqlite{name}").write_bytes((tmp_path / f"alive{name}").read_bytes())
    with Store(tmp_path / "runs.sqlite") as store:
        assert differences(store) == []


def test_killed_in_the_middle_of_its_making_a_store_is_made_again(address):
    code = (
        "import os, sys\nfrom sqlalchemy import event\nfrom sqlalchemy.engine import Engine\nfrom laimbench.store import Store\n"
        "event.listen(Engine, 'commit', lambda connection: os.kill(os.getpid(), 9))\nStore(sys.argv[1])"
    )
    assert subprocess.run([sys.executable, "-c", code, address], check=False).returncode == -9
    with Store(address) as store:
        assert differences(store) == []
        store.log(store.begin_run("a", "s", {}, FACTS, {}), [metric(0)])
