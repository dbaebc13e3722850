"""Read and write the store. Every method is one transaction: a kill leaves all of it or nothing."""

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, delete, event, func, select, text, tuple_, update
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session

from laimbench.errors import InputError, LaimbenchError, RunError
from laimbench.store.schema import ADDED, APPLICATION_ID, SCHEMA_VERSION, Base, Document, Lease, Metric, Run

BUSY_TIMEOUT_S = 30


@dataclass(frozen=True)
class RunRow:
    """One run with its last evaluation; losses in nats, None while there is none."""

    id: int
    key: str
    sweep: str
    family: str
    size: str
    backend: str
    dtype: str
    seed: int
    params: int
    params_non_embedding: int
    tokens: int
    flops: float
    status: str
    error: str
    train_s: float | None
    final_train_loss: float | None
    final_val_loss: float | None
    config: dict[str, Any]
    machine: dict[str, Any]
    summary: dict[str, Any]
    started_at: str
    finished_at: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class MetricRow:
    """One evaluation of a run, as ``laimbench.train.Evaluation``; None where a value was not finite."""

    run_id: int
    step: int
    tokens: int
    flops: float
    train_s: float
    train_loss: float | None
    val_loss: float | None
    tokens_per_s: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class LostLease(LaimbenchError):
    """Another process trains this run now: nothing more of it is written here."""


@dataclass(frozen=True)
class Claim:
    """The right to write a run, as ``laimbench.store.leases`` gives it. deaths: of processes that had it before and got no further."""

    key: str
    token: int
    owner: str
    deaths: int


class Store:
    """A store in one SQLite file; use it as a context manager.

    Args:
        path: the file; made when missing unless ``must_exist``.
        read_only: nothing can be written through it; the file must exist.

    Raises:
        InputError: the file is missing, foreign or corrupt; the message names it.
    """

    def __init__(self, path: str | Path, *, must_exist: bool = False, read_only: bool = False):
        self.path = Path(path)
        if (must_exist or read_only) and not self.path.is_file():
            raise InputError(
                f"store {self.path}: no such file; `laimbench sweep` or `laimbench train --store` make one"
            )
        if self.path.is_dir():
            raise InputError(f"store {self.path}: is a directory, expected a SQLite file")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = _engine(self.path, read_only)
        try:
            with self._reporting_errors():
                self._check()
                if not read_only:
                    self._make_tables()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._engine.dispose()

    # What writes a run takes the claim under which it is trained, where there is one, and raises LostLease when it is no longer
    # the run's latest.

    def begin_run(
        self, key: str, sweep: str, config: dict, facts: dict, machine: dict, claim: Claim | None = None
    ) -> int:
        """Record a run that starts now; return its id. ``facts``: family, size, backend, dtype, seed, params,
        params_non_embedding, tokens, flops.
        """
        with self.writing(claim) as session:
            run = Run(key=key, sweep=sweep, config=config, machine=machine, summary={}, status="running", error="",
                      started_at=_now(), finished_at="", **facts)  # fmt: skip
            session.add(run)
            session.flush()
            return run.id

    def log(self, run_id: int, rows: list[dict[str, Any]], claim: Claim | None = None) -> None:
        """Append evaluations; numbers that are not finite are kept as NULL."""
        with self.writing(claim) as session:
            session.add_all(_metric(run_id, row) for row in rows)
            if claim is not None and rows:
                _advance(session, claim, rows[-1]["step"])

    def rewind(self, run_id: int, rows: list[dict[str, Any]], claim: Claim | None = None) -> None:
        """Have exactly these evaluations of a run, which goes on from a state that knows them."""
        with self.writing(claim) as session:
            session.execute(delete(Metric).where(Metric.run_id == run_id))
            session.add_all(_metric(run_id, row) for row in rows)

    def reached(self, claim: Claim, step: int) -> None:
        """Note that a run's state at this step is about to be kept."""
        with self.writing(claim) as session:
            _advance(session, claim, step)

    def finish_run(self, run_id: int, status: str, summary: dict, error: str = "", claim: Claim | None = None) -> None:
        """Mark a run ``done`` or ``failed``; nobody holds it any more."""
        with self.writing(claim) as session:
            if claim is not None:
                session.execute(delete(Lease).where(Lease.key == claim.key))
            session.execute(
                update(Run)
                .where(Run.id == run_id)
                .values(status=status, summary=summary, error=error, finished_at=_now())
            )

    def discard(self, run_id: int, claim: Claim | None = None) -> None:
        """Forget a run and its evaluations, before it is trained again."""
        with self.writing(claim) as session:
            session.execute(delete(Metric).where(Metric.run_id == run_id))
            session.execute(delete(Run).where(Run.id == run_id))

    def runs(self, **wanted: Any) -> list[RunRow]:
        """Return the runs, oldest first; ``wanted`` are equalities by column, None is any."""
        query = select(Run).order_by(Run.id)
        for column, value in wanted.items():
            if value is not None:
                query = query.where(getattr(Run, column) == value)
        found = query.order_by(None).with_only_columns(Run.id)
        newest = select(Metric.run_id, func.max(Metric.step)).where(Metric.run_id.in_(found)).group_by(Metric.run_id)
        with self.reading() as session:
            runs = session.scalars(query).all()
            last_steps = tuple_(Metric.run_id, Metric.step).in_(newest)
            last = {metric.run_id: metric for metric in session.scalars(select(Metric).where(last_steps))}
            return [_run_row(run, last.get(run.id)) for run in runs]

    def find(self, key: str) -> RunRow | None:
        """Return the run of this key."""
        return next(iter(self.runs(key=key)), None)

    def statuses(self, keys: list[str] | None = None) -> dict[str, tuple[str, str]]:
        """Return status and time of the start of these runs, or of all, by key: what changes when a run is trained again."""
        query = select(Run.key, Run.status, Run.started_at)
        if keys is not None:
            query = query.where(Run.key.in_(keys))
        with self.reading() as session:
            return {key: (status, started_at) for key, status, started_at in session.execute(query)}

    def metrics(self, run_id: int) -> list[MetricRow]:
        """Return a run's evaluations in order."""
        with self.reading() as session:
            rows = session.scalars(select(Metric).where(Metric.run_id == run_id).order_by(Metric.step)).all()
            return [MetricRow(**{c.name: getattr(row, c.name) for c in Metric.__table__.columns}) for row in rows]

    def save_document(self, kind: str, body: dict[str, Any]) -> None:
        """Keep a whole JSON result."""
        with self.writing() as session:
            session.add(Document(kind=kind, created_at=_now(), body=body))

    def documents(self, kind: str) -> list[dict[str, Any]]:
        """Return all documents of a kind, newest last."""
        with self.reading() as session:
            return list(session.scalars(select(Document.body).where(Document.kind == kind).order_by(Document.id)))

    def version(self) -> str:
        """Return a text that differs whenever runs, their evaluations or documents have been added, finished or discarded."""
        counts = (
            select(func.count(), func.max(Run.id), func.count().filter(Run.status != "running")).select_from(Run),
            select(func.count()).select_from(Metric),
            select(func.count(), func.max(Document.id)).select_from(Document),
        )
        with self.reading() as session:
            return "-".join(str(number or 0) for query in counts for number in session.execute(query).one())

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that reads."""
        with self._reporting_errors(), Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def writing(self, claim: Claim | None = None) -> Iterator[Session]:
        """A transaction that writes, alone from its beginning on: what it reads is what it writes upon.

        Raises:
            LostLease: ``claim`` is no longer the latest.
        """
        with self.reading() as session:
            session.execute(text("BEGIN IMMEDIATE"))
            if claim is not None:
                lease = session.get(Lease, claim.key)
                if lease is None or (lease.owner, lease.token) != (claim.owner, claim.token):
                    raise LostLease(f"store {self.path}: run {claim.key[:8]} was taken over by another process")
            yield session

    @contextmanager
    def _reporting_errors(self) -> Iterator[None]:
        """Say in one line what SQLite meant."""
        try:
            yield
        except OperationalError as error:
            cause = str(error.orig)
            if "full" in cause:
                raise RunError(f"store {self.path}: disk full; what was committed before is kept") from None
            if "locked" in cause:
                raise RunError(f"store {self.path}: locked by another process for over {BUSY_TIMEOUT_S} s") from None
            if "readonly" in cause or "unable to open" in cause:
                raise InputError(f"store {self.path}: cannot be opened for writing ({cause})") from None
            raise InputError(f"store {self.path}: {cause}") from None
        except (DatabaseError, sqlite3.DatabaseError, UnicodeDecodeError, JSONDecodeError) as error:
            cause = " ".join(str(getattr(error, "orig", error)).split())  # SQLite quotes schemas as they are
            raise InputError(f"store {self.path}: not a readable laimbench store ({cause})") from None

    def _check(self) -> None:
        """Refuse what is not ours, by a connection that cannot write: a foreign file is left as it is."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return
        with closing(sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            application, version, tables = (
                connection.execute(query).fetchone()[0]
                for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
            )
        if application != APPLICATION_ID and tables:
            raise InputError(f"store {self.path}: a SQLite file of another program, expected a laimbench store")
        if tables and not 1 <= version <= SCHEMA_VERSION:
            raise InputError(f"store {self.path}: schema version {version}, expected 1 to {SCHEMA_VERSION}")

    def _make_tables(self) -> None:
        """Make all tables in a new file, those that are missing in one of an older version."""
        version = text("PRAGMA user_version")
        with self._engine.connect() as connection:
            if connection.scalar(version) == SCHEMA_VERSION:
                return
        with self._engine.begin() as connection:
            connection.execute(text("BEGIN IMMEDIATE"))  # two processes may open it at once
            known = connection.scalar(version)
            tables = [t for t in Base.metadata.sorted_tables if ADDED.get(t.name, 1) > known]
            Base.metadata.create_all(connection, tables)
            connection.execute(text(f"PRAGMA application_id = {APPLICATION_ID}"))
            connection.execute(text(f"PRAGMA user_version = {SCHEMA_VERSION}"))


def _engine(path: Path, read_only: bool) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def configure(connection, _record):
        if read_only:
            connection.execute("PRAGMA query_only = ON")
            return
        _write_ahead(connection)  # readers while a sweep writes
        connection.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut; commits are rare
        connection.execute("PRAGMA foreign_keys = ON")

    return engine


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


def _run_row(run: Run, last: Metric | None) -> RunRow:
    facts = {column.name: getattr(run, column.name) for column in Run.__table__.columns}
    return RunRow(
        **facts,
        train_s=last and last.train_s,
        final_train_loss=last and last.train_loss,
        final_val_loss=last and last.val_loss,
    )


def _advance(session: Session, claim: Claim, step: int) -> None:
    """Note how far a run is. Who got further than those before clears their deaths, for all that train in turns with it too."""
    further = update(Lease).where(Lease.key == claim.key, Lease.reached < step).values(reached=step)
    if session.execute(further).rowcount:
        session.execute(update(Lease).where(Lease.owner == claim.owner).values(deaths=0))


def _metric(run_id: int, row: dict[str, Any]) -> Metric:
    return Metric(run_id=run_id, **{name: _finite(value) for name, value in row.items()})


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
