"""What differs between the databases that a store may be in: how one is opened, recognised and locked, and what its errors mean."""

import json
import math
import sqlite3
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, delete, event, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from laimbench.errors import InputError, LaimbenchError, RunError
from laimbench.files import make_folder
from laimbench.store.migrations import VERSION_TABLE, migrate
from laimbench.store.schema import SCHEMA_VERSION, Base, Writer
from laimbench.store_address import StoreAddress

BUSY_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 10


class MissingStore(InputError):
    """There is no store at the address, and none is to be made."""


class Database(ABC):
    """One database."""

    address: StoreAddress
    engine: Engine

    @abstractmethod
    def version(self) -> int:
        """Return the version of the tables, 0 where there are none.

        Raises:
            InputError: the database is not ours; it is left as it is.
        """

    @abstractmethod
    def make_tables(self) -> None:
        """Make the tables, or bring older ones to the present version, in one transaction."""

    @abstractmethod
    def identity(self) -> Any:
        """Return what is the same for two addresses of one store, and differs between two stores."""

    @abstractmethod
    def begin_writing(self, connection: Connection) -> None:
        """Have a transaction write alone from here on."""

    def sign(self, connection: Connection) -> str:
        """Leave a sign in a transaction that is about to be committed; return it."""
        return ""

    def committed(self, connection: Connection, sign: str) -> bool:
        """Say, after ``begin_writing``, whether the transaction with this sign, the thread's last, has been committed."""
        raise NotImplementedError("nothing comes between a process and a file")

    def is_gone(self, error: DBAPIError) -> bool:
        """Say whether the server cannot be reached, for now at least."""
        return False

    def close(self) -> None:
        self.engine.dispose()

    @abstractmethod
    def explain(self, error: Exception) -> LaimbenchError:
        """Return what an error of the database, or of what it holds, means, in one line."""


def open_database(address: StoreAddress, *, must_exist: bool, read_only: bool) -> Database:
    """Return the database at an address, not connected to yet.

    Raises:
        InputError: the address is none, or the package for its database is not installed.
    """
    if not address.is_url:
        return SQLite(address, must_exist=must_exist or read_only, read_only=read_only)
    return PostgreSQL(address, must_exist=must_exist or read_only, read_only=read_only)


def _require_version(address: StoreAddress, version: int) -> int:
    if not 1 <= version <= SCHEMA_VERSION:
        raise InputError(f"store {address}: schema version {version}, expected 1 to {SCHEMA_VERSION}")
    return version


def _locked(address: StoreAddress) -> RunError:
    return RunError(f"store {address}: locked by another process for over {BUSY_TIMEOUT_S} s")


def _full(address: StoreAddress) -> RunError:
    return RunError(f"store {address}: disk full; what was committed before is kept")


class SQLite(Database):
    """A file, which says in its header whose it is and of which version."""

    APPLICATION_ID = 0x4C41494D  # "LAIM"

    def __init__(self, address: StoreAddress, *, must_exist: bool, read_only: bool):
        self.address, self._path = address, address.path
        if must_exist and not self._path.is_file():
            raise MissingStore(
                f"store {address}: no such file; `laimbench sweep` or `laimbench train --store` make one"
            )
        if self._path.is_dir():
            raise InputError(f"store {address}: is a directory, expected a SQLite file")
        make_folder(self._path.parent)
        self.engine = create_engine(f"sqlite:///{self._path}", connect_args={"timeout": BUSY_TIMEOUT_S})

        @event.listens_for(self.engine, "connect")
        def configure(connection, _record):
            if read_only:
                connection.execute("PRAGMA query_only = ON")
                return
            _write_ahead(connection)  # readers while a sweep writes
            connection.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut; commits are rare
            connection.execute("PRAGMA foreign_keys = ON")

    def version(self) -> int:
        if not self._path.exists() or self._path.stat().st_size == 0:
            return 0
        try:
            application, version, tables = self._header("ro")  # a foreign file is left as it is
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_READONLY_ROLLBACK":
                raise
            application, version, tables = self._header("rw")  # whoever made it was killed at that: all readers undo it
        if application != self.APPLICATION_ID and tables:
            raise InputError(f"store {self.address}: a SQLite file of another program, expected a laimbench store")
        return _require_version(self.address, version) if tables else 0

    def _header(self, mode: str) -> tuple[int, int, int]:
        """Return the program's id, its version, and how many tables and indices there are."""
        with closing(sqlite3.connect(f"{self._path.resolve().as_uri()}?mode={mode}", uri=True)) as connection:
            queries = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
            return tuple(connection.execute(query).fetchone()[0] for query in queries)

    def make_tables(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("BEGIN IMMEDIATE"))  # two processes may open it at once
            known = connection.scalar(text("PRAGMA user_version"))
            if known == 0:
                Base.metadata.create_all(connection)  # as all migrations would, without the time to import Alembic
            elif known < SCHEMA_VERSION:
                migrate(connection, known)
                connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))  # the header says the version
            connection.execute(text(f"PRAGMA application_id = {self.APPLICATION_ID}"))
            connection.execute(text(f"PRAGMA user_version = {SCHEMA_VERSION}"))

    def identity(self) -> Path:
        return self._path.resolve()

    def begin_writing(self, connection: Connection) -> None:
        connection.execute(text("BEGIN IMMEDIATE"))

    def explain(self, error: Exception) -> LaimbenchError:
        error = getattr(error, "orig", error)
        cause = " ".join(str(error).split())  # SQLite quotes schemas as they are
        if not isinstance(error, sqlite3.OperationalError):
            return InputError(f"store {self.address}: not a readable laimbench store ({cause})")
        if "full" in cause:
            return _full(self.address)
        if "locked" in cause:
            return _locked(self.address)
        if "readonly" in cause or "unable to open" in cause:
            return InputError(f"store {self.address}: cannot be opened for writing ({cause})")
        return InputError(f"store {self.address}: {cause}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Have a write-ahead log. Connections that change a new file's journal at once are refused without a wait by SQLite."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class PostgreSQL(Database):
    """A database on a server, which is ours when it holds our table of the version, and new when it holds none."""

    LOCK = 0x4C41494D  # "LAIM"
    DRIVER = "postgresql+psycopg"

    def __init__(self, address: StoreAddress, *, must_exist: bool, read_only: bool):
        self.address, self._must_exist = address, must_exist
        self._name, self._threads = uuid.uuid4().hex, set()
        try:
            url = make_url(address.text)
        except (ArgumentError, ValueError):
            raise InputError(f"store {address}: not a URL, expected postgresql://user:password@host/database") from None
        if url.drivername not in ("postgresql", "postgres", self.DRIVER) or not url.database:
            raise InputError(f"store {address}: expected a path, or postgresql://user:password@host/database")
        self._secrets = {str(secret) for secret in (url.password, url.query.get("password")) if secret}
        timeout = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_TIMEOUT_S}
        try:
            # Read committed: a writer waits for the lock first, and each of its statements then sees all that was committed before.
            self.engine = create_engine(
                url.set(drivername=self.DRIVER), pool_pre_ping=True, connect_args=timeout,
                isolation_level="READ COMMITTED", json_serializer=_strict_json,
            )  # fmt: skip
        except ModuleNotFoundError as error:
            raise InputError(
                f"store {address}: needs the package {error.name}: pip install 'laimbench[postgres]'"
            ) from None

        @event.listens_for(self.engine, "connect")
        def configure(connection, _record):
            with _autocommit(connection):
                connection.execute(f"SET lock_timeout = {round(1000 * BUSY_TIMEOUT_S)}")
                # So that the server lets go of a machine's lock within a minute of that machine's end.
                connection.execute("SET tcp_keepalives_idle = 30")
                connection.execute("SET tcp_keepalives_interval = 10")
                connection.execute("SET tcp_keepalives_count = 3")
                if read_only:
                    connection.execute("SET default_transaction_read_only = on")

    def version(self) -> int:
        with self.engine.connect() as connection:
            version = self._version(connection)
        if version == 0 and self._must_exist:
            raise MissingStore(
                f"store {self.address}: the database holds none; `laimbench sweep` or `laimbench train --store` make one"
            )
        return version

    def _version(self, connection: Connection) -> int:
        tables = inspect(connection).get_table_names()
        if VERSION_TABLE in tables:
            found = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) or "0"
            return _require_version(self.address, int(found) if found.isdecimal() else 0)
        if tables:
            raise InputError(f"store {self.address}: holds tables of another program, expected an empty database")
        return 0

    def make_tables(self) -> None:
        with self.engine.begin() as connection:
            self.begin_writing(connection)  # two processes may open it at once
            known = self._version(connection)
            if known < SCHEMA_VERSION:
                migrate(connection, known)

    def identity(self) -> tuple:
        with self.engine.connect() as connection:
            query = "SELECT pg_postmaster_start_time(), current_database(), current_schema()"
            return tuple(connection.execute(text(query)).one())

    def begin_writing(self, connection: Connection) -> None:
        # An advisory lock of the database, and not SERIALIZABLE, which has transactions fail at their end and be done again, nor LOCK
        # TABLE, which has vacuuming and backups wait, and would need an order of the tables. It ends with the transaction.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": self.LOCK})

    def sign(self, connection: Connection) -> str:
        # The server's own number of the transaction would not do: after a crash it is given to another one if nothing with it had
        # reached the log. (Imported here, because it takes as long as half of the store.)
        from sqlalchemy.dialects.postgresql import insert

        sign = uuid.uuid4().hex
        query = insert(Writer).values(name=self._writer(), written=sign)
        connection.execute(query.on_conflict_do_update(index_elements=[Writer.name], set_={"written": sign}))
        return sign

    def committed(self, connection: Connection, sign: str) -> bool:
        # It had the lock that this one has now, so it has ended.
        return connection.scalar(select(Writer.written).where(Writer.name == self._writer())) == sign

    def _writer(self) -> str:
        self._threads.add(threading.get_ident())
        return f"{self._name}-{threading.get_ident()}"

    def close(self) -> None:
        if self._threads:
            names = [f"{self._name}-{thread}" for thread in self._threads]
            # Those of a process that is killed stay: a few bytes.
            with suppress(DBAPIError), self.engine.begin() as connection:
                connection.execute(delete(Writer).where(Writer.name.in_(names)))
        super().close()

    def is_gone(self, error: DBAPIError) -> bool:
        state = getattr(error.orig, "sqlstate", None)
        if error.connection_invalidated or (state or "")[:2] in ("08", "57"):  # lost; shutting down, starting up
            return state != "57014"  # a statement cancelled by somebody
        return type(error.orig).__name__ in ("OperationalError", "ConnectionTimeout") and state is None

    def explain(self, error: Exception) -> LaimbenchError:
        if not isinstance(error, DBAPIError):
            return InputError(f"store {self.address}: not a readable laimbench store ({' '.join(str(error).split())})")
        state, cause = getattr(error.orig, "sqlstate", None) or "", str(error.orig)
        for secret in self._secrets:
            cause = cause.replace(secret, "***")
        line = cause.strip().splitlines()[0] if cause.strip() else type(error.orig).__name__
        if state == "55P03":
            return _locked(self.address)
        if state == "53100":
            return _full(self.address)
        if state in ("25006", "42501"):  # read only, no right to
            return InputError(f"store {self.address}: cannot be opened for writing ({line})")
        if "authentication failed" in cause or "no password supplied" in cause:
            return InputError(f"store {self.address}: wrong user or password")
        if "database" in cause and "does not exist" in cause and self.is_gone(error):
            return InputError(f"store {self.address}: no such database on the server; `createdb` makes one")
        if self.is_gone(error):
            return RunError(f"store {self.address}: the server cannot be reached ({line})")
        return InputError(f"store {self.address}: not a readable laimbench store ({line})")


@contextmanager
def _autocommit(connection: Any) -> Iterator[None]:
    """Have what is set on a connection outlive the transaction in which it would be set."""
    before, connection.autocommit = connection.autocommit, True
    try:
        yield
    finally:
        connection.autocommit = before


def _strict_json(value: Any) -> str:
    """Return JSON as the server takes it: null, as in a column of numbers, for what is not finite."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(finite(value), allow_nan=False)


def finite(value: Any) -> Any:
    """Return a value of JSON with None for every number in it that is not finite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
