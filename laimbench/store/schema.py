"""The tables as they are now; how older ones become them is in ``laimbench.store.migrations``."""

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Integer
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 3  # the newest of migrations/versions


class Base(DeclarativeBase):
    """All tables."""

    # Tokens and parameters exceed 32 bits, which is all that INTEGER has in PostgreSQL; in SQLite it has 64, and ids count by
    # themselves with it only.
    type_annotation_map = {int: BigInteger().with_variant(Integer, "sqlite"), float: Double, dict: JSON}  # noqa: RUF012 - SQLAlchemy's own way


class Run(Base):
    """One training run; ``status`` is running, done or failed."""

    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    sweep: Mapped[str]
    family: Mapped[str]
    size: Mapped[str]
    backend: Mapped[str]
    dtype: Mapped[str]
    seed: Mapped[int]
    params: Mapped[int]
    params_non_embedding: Mapped[int]
    tokens: Mapped[int]
    flops: Mapped[float]
    status: Mapped[str]
    error: Mapped[str]
    config: Mapped[dict]
    machine: Mapped[dict]
    summary: Mapped[dict]
    started_at: Mapped[str]
    finished_at: Mapped[str]


class Metric(Base):
    """One evaluation of a run."""

    __tablename__ = "metrics"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    tokens: Mapped[int]
    flops: Mapped[float]
    train_s: Mapped[float]
    train_loss: Mapped[float | None]
    val_loss: Mapped[float | None]
    tokens_per_s: Mapped[float | None]


class Lease(Base):
    """Who trains a run; ``owner`` is '' when nobody does. ``reached``: its furthest step on record; ``deaths``: of processes since then."""

    __tablename__ = "leases"

    key: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[int]
    owner: Mapped[str]
    beats: Mapped[int]
    deaths: Mapped[int]
    reached: Mapped[int]


class Document(Base):
    """A whole result as JSON, for example one of ``laimbench bench``."""

    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    created_at: Mapped[str]
    body: Mapped[dict]


class Writer(Base):
    """What a writer wrote last, by a name nobody else has: with it is committed, or not, what it signs. Of databases on servers only."""

    __tablename__ = "writers"

    name: Mapped[str] = mapped_column(primary_key=True)
    written: Mapped[str]


Index("runs_by_sweep", Run.sweep, Run.status)
