"""Bring the runs of one store into another. A run's key is the hash of all that decides it, so what both have is one run."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from laimbench.errors import InputError
from laimbench.store.schema import Document, Lease, Metric, Run
from laimbench.store.store import Store


@dataclass
class Merged:
    """Counts. added: runs that were not there; replaced: failed or unfinished ones by finished ones; known: there already, or no better;
    unfinished: left where they are, with their state; documents: results that were not there.
    """

    added: int = 0
    replaced: int = 0
    known: int = 0
    unfinished: int = 0
    documents: int = 0

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def merge(into: Store, source: Store) -> Merged:
    """Copy finished and failed runs with their evaluations, and documents, in one transaction: all or, after a kill, nothing.

    Of two runs with one key a finished one wins over one that is not, and the one in ``into`` over another finished one. What a
    process is at work on in ``into`` stays.

    Raises:
        InputError: both are the same store, or the source is damaged.
    """
    if into.database.identity() == source.database.identity():
        raise InputError(f"store {source.address}: is the store to merge into, expected another one")
    try:
        return _merge(into, source)
    except StatementError as error:  # before it reached a database
        raise InputError(f"store {source.address}: damaged, holds what no column takes ({error.orig})") from None


def _merge(into: Store, source: Store) -> Merged:
    merged = Merged()
    with source.reading() as theirs, into.writing() as ours:
        at_work = set(ours.scalars(select(Lease.key).where(Lease.owner != "")))
        known = {run.key: run for run in ours.scalars(select(Run))}
        for run in theirs.scalars(select(Run).order_by(Run.id)):
            before = known.get(run.key)
            if run.status == "running":
                merged.unfinished += 1
            elif before is None:
                merged.added += 1
                _copy(theirs, ours, run)
            elif run.status == "done" and before.status != "done" and run.key not in at_work:
                merged.replaced += 1
                ours.execute(delete(Metric).where(Metric.run_id == before.id))
                ours.execute(delete(Run).where(Run.id == before.id))
                _copy(theirs, ours, run)
            else:
                merged.known += 1
        there = [(d.kind, d.created_at, d.body) for d in ours.scalars(select(Document))]
        for document in theirs.scalars(select(Document).order_by(Document.id)):
            if (document.kind, document.created_at, document.body) not in there:
                merged.documents += 1
                ours.add(Document(**_values(document, "id")))
    return merged


def _copy(theirs: Session, ours: Session, run: Run) -> None:
    copy = Run(**_values(run, "id"))
    ours.add(copy)
    ours.flush()
    metrics = theirs.execute(select(*Metric.__table__.columns).where(Metric.run_id == run.id)).mappings()
    rows = [dict(metric) | {"run_id": copy.id} for metric in metrics]
    if rows:
        ours.execute(insert(Metric), rows)


def _values(row: Any, *without: str) -> dict[str, Any]:
    return {c.name: getattr(row, c.name) for c in row.__table__.columns if c.name not in without}
