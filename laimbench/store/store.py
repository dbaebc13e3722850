"""Read and write the store. Every method is one transaction: a kill leaves all of it or nothing."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from json import JSONDecodeError
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from laimbench.errors import LaimbenchError, RunError
from laimbench.store.databases import finite, open_database
from laimbench.store.schema import SCHEMA_VERSION, Document, Lease, Metric, Run
from laimbench.store_address import StoreAddress

RECONNECT_S = 60.0  # that a server may be away in the middle of work
RETRY_S = 0.5

T = TypeVar("T")


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


_INSERT_RUN = insert(Run.__table__)


def _last(column: Any) -> Any:
    """Return a run's last value as a subquery of its own: by a step through the primary key's index for each run. To a join with the last
    evaluations PostgreSQL reads all evaluations of all runs.
    """
    return select(column).where(Metric.run_id == Run.id).order_by(Metric.step.desc()).limit(1).scalar_subquery()


_FINALS = {"train_s": Metric.train_s, "final_train_loss": Metric.train_loss, "final_val_loss": Metric.val_loss}
_RUN_ROW = [_last(_FINALS[f.name]) if f.name in _FINALS else Run.__table__.columns[f.name] for f in fields(RunRow)]


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
    """A store, in one SQLite file or a PostgreSQL database; use it as a context manager.

    Args:
        address: the file, or a URL (``laimbench.store_address``); made when missing unless ``must_exist``.
        read_only: nothing can be written through it; it must exist.

    Raises:
        InputError: the store is missing, foreign or corrupt, or may not be opened; the message names it. RunError: its server cannot be
            reached.
    """

    def __init__(self, address: str | Path | StoreAddress, *, must_exist: bool = False, read_only: bool = False):
        self.address = StoreAddress.of(address)
        self.states = self.address.beside("states")  # of unfinished runs
        self.database = open_database(self.address, must_exist=must_exist, read_only=read_only)
        self.outages = 0  # of the server, as far as they were noticed here
        self._gave_up = False
        try:
            with self._reporting_errors():
                if self.database.version() < SCHEMA_VERSION and not read_only:
                    self.database.make_tables()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.database.close()

    # What writes a run takes the claim under which it is trained, where there is one, and raises LostLease when it is no longer
    # the run's latest.

    def begin_run(
        self, key: str, sweep: str, config: dict, facts: dict, machine: dict, claim: Claim | None = None
    ) -> int:
        """Record a run that starts now; return its id. ``facts``: family, size, backend, dtype, seed, params,
        params_non_embedding, tokens, flops.
        """
        values = {"key": key, "sweep": sweep, "config": config, "machine": machine, "summary": {}, "status": "running", "error": "",
                  "started_at": _now(), "finished_at": "", **facts}  # fmt: skip
        return self.write(lambda session: session.execute(_INSERT_RUN, values).inserted_primary_key[0], claim)

    def log(self, run_id: int, rows: list[dict[str, Any]], claim: Claim | None = None) -> None:
        """Append evaluations; numbers that are not finite are kept as NULL."""

        def work(session: Session) -> None:
            session.add_all(_metric(run_id, row) for row in rows)
            if claim is not None and rows:
                _advance(session, claim, rows[-1]["step"])

        self.write(work, claim)

    def rewind(self, run_id: int, rows: list[dict[str, Any]], claim: Claim | None = None) -> None:
        """Have exactly these evaluations of a run, which goes on from a state that knows them."""

        def work(session: Session) -> None:
            session.execute(delete(Metric).where(Metric.run_id == run_id))
            session.add_all(_metric(run_id, row) for row in rows)

        self.write(work, claim)

    def reached(self, claim: Claim, step: int) -> None:
        """Note that a run's state at this step is about to be kept."""
        self.write(lambda session: _advance(session, claim, step), claim)

    def finish_run(self, run_id: int, status: str, summary: dict, error: str = "", claim: Claim | None = None) -> None:
        """Mark a run ``done`` or ``failed``; nobody holds it any more."""
        values = {"status": status, "summary": summary, "error": error, "finished_at": _now()}

        def work(session: Session) -> None:
            if claim is not None:
                session.execute(delete(Lease).where(Lease.key == claim.key))
            session.execute(update(Run).where(Run.id == run_id).values(values))

        self.write(work, claim)

    def discard(self, run_id: int, claim: Claim | None = None) -> None:
        """Forget a run and its evaluations, before it is trained again."""

        def work(session: Session) -> None:
            session.execute(delete(Metric).where(Metric.run_id == run_id))
            session.execute(delete(Run).where(Run.id == run_id))

        self.write(work, claim)

    def runs(self, **wanted: Any) -> list[RunRow]:
        """Return the runs, oldest first; ``wanted`` are equalities by column, None is any."""
        query = select(*_RUN_ROW).order_by(Run.id)
        for column, value in wanted.items():
            if value is not None:
                query = query.where(getattr(Run, column) == value)
        return self.read(lambda session: [RunRow(*row) for row in session.execute(query)])

    def find(self, key: str) -> RunRow | None:
        """Return the run of this key."""
        return next(iter(self.runs(key=key)), None)

    def statuses(self, keys: list[str] | None = None) -> dict[str, tuple[str, str]]:
        """Return status and time of the start of these runs, or of all, by key: what changes when a run is trained again."""
        query = select(Run.key, Run.status, Run.started_at)
        if keys is not None:
            query = query.where(Run.key.in_(keys))
        return self.read(lambda session: {key: tuple(row) for key, *row in session.execute(query)})

    def metrics(self, run_id: int) -> list[MetricRow]:
        """Return a run's evaluations in order."""
        query = select(*Metric.__table__.columns).where(Metric.run_id == run_id).order_by(Metric.step)
        return self.read(lambda session: [MetricRow(*row) for row in session.execute(query)])

    def save_document(self, kind: str, body: dict[str, Any]) -> None:
        """Keep a whole JSON result."""
        values = {"kind": kind, "created_at": _now(), "body": body}
        self.write(lambda session: session.execute(insert(Document), values))

    def documents(self, kind: str) -> list[dict[str, Any]]:
        """Return all documents of a kind, newest last."""
        query = select(Document.body).where(Document.kind == kind).order_by(Document.id)
        return self.read(lambda session: list(session.scalars(query)))

    def version(self) -> str:
        """Return a text that differs whenever runs, their evaluations or documents have been added, finished or discarded."""
        counts = (
            select(func.count(), func.max(Run.id), func.count().filter(Run.status != "running")).select_from(Run),
            select(func.count()).select_from(Metric),
            select(func.count(), func.max(Document.id)).select_from(Document),
        )
        return self.read(
            lambda session: "-".join(str(number or 0) for query in counts for number in session.execute(query).one())
        )

    def read(self, work: Callable[[Session], T]) -> T:
        """Return what ``work`` reads in a transaction; it may be called again where a server was away."""

        def attempt() -> T:
            with self._transaction() as session:
                return work(session)

        with self._reporting_errors():
            return self._until_there(attempt, RECONNECT_S)

    def write(self, work: Callable[[Session], T], claim: Claim | None = None, *, patience_s: float | None = None) -> T:
        """Have ``work`` write in a transaction, alone from its beginning on; return what it returns.

        Where the connection breaks it is called again, unless the transaction before has been committed after all: what it writes
        is there once.

        Args:
            work: does nothing but what the transaction does.
            claim: of the run that is written.
            patience_s: how long a server may be away; by default RECONNECT_S.

        Raises:
            LostLease: ``claim`` is no longer the latest. RunError: the server was away for too long, or the disk is full.
        """
        unseen: list[tuple[str, T]] = []  # signs of transactions whose end was not seen, and what they returned

        def attempt() -> T:
            with self._transaction() as session:
                connection = session.connection()
                self.database.begin_writing(connection)
                if unseen and self.database.committed(connection, unseen[-1][0]):
                    return unseen[-1][1]
                self._require(session, claim)
                result = work(session)
                session.flush()
                unseen.append((self.database.sign(connection), result))
            return result

        with self._reporting_errors():
            return self._until_there(attempt, RECONNECT_S if patience_s is None else patience_s)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that reads, once."""
        with self._reporting_errors(), self._transaction() as session:
            yield session

    @contextmanager
    def writing(self, claim: Claim | None = None) -> Iterator[Session]:
        """A transaction that writes, once, alone from its beginning on: what it reads is what it writes upon.

        Raises:
            LostLease: ``claim`` is no longer the latest.
        """
        with self.reading() as session:
            self.database.begin_writing(session.connection())
            self._require(session, claim)
            yield session

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with Session(self.database.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def _require(self, session: Session, claim: Claim | None) -> None:
        if claim is None:
            return
        lease = session.get(Lease, claim.key)
        if lease is None or (lease.owner, lease.token) != (claim.owner, claim.token):
            raise LostLease(f"store {self.address}: run {claim.key[:8]} was taken over by another process")

    def _until_there(self, attempt: Callable[[], T], patience_s: float) -> T:
        """Return what an attempt does, as soon as the server is there for it."""
        deadline = None
        while True:
            try:
                result = attempt()
            except DBAPIError as error:
                if not self.database.is_gone(error):
                    raise
                now = time.monotonic()
                if deadline is None:
                    # Who waited in vain does so once, not again for each state and lease on the way out.
                    deadline = now if self._gave_up else now + patience_s
                if now >= deadline:
                    self._gave_up = self._gave_up or patience_s > 0
                    cause = self.database.explain(error)
                    raise RunError(f"{cause}; what was committed before is kept") from None
                time.sleep(RETRY_S)
            else:
                if deadline is not None or self._gave_up:
                    self.outages += 1
                self._gave_up = False
                return result

    @contextmanager
    def _reporting_errors(self) -> Iterator[None]:
        """Say in one line what the database meant."""
        try:
            yield
        except (DBAPIError, sqlite3.Error, UnicodeDecodeError, JSONDecodeError) as error:
            raise self.database.explain(error) from None


def _advance(session: Session, claim: Claim, step: int) -> None:
    """Note how far a run is. Who got further than those before clears their deaths, for all that train in turns with it too."""
    further = update(Lease).where(Lease.key == claim.key, Lease.reached < step).values(reached=step)
    if session.execute(further).rowcount:
        session.execute(update(Lease).where(Lease.owner == claim.owner).values(deaths=0))


def _metric(run_id: int, row: dict[str, Any]) -> Metric:
    return Metric(run_id=run_id, **{name: finite(value) for name, value in row.items()})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
