"""The tables, and what marks a file as ours."""

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

APPLICATION_ID = 0x4C41494D  # "LAIM", in the SQLite header
SCHEMA_VERSION = 2
ADDED = {"leases": 2}  # tables by the version that brought them: a store of an older one gets them when it is opened


class Base(DeclarativeBase):
    """All tables."""


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
    config: Mapped[dict] = mapped_column(JSON)
    machine: Mapped[dict] = mapped_column(JSON)
    summary: Mapped[dict] = mapped_column(JSON)
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
    body: Mapped[dict] = mapped_column(JSON)


Index("runs_by_sweep", Run.sweep, Run.status)
