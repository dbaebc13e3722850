"""Where runs are kept: one SQLite file or a PostgreSQL database, safe against a kill at any moment."""

from laimbench.store.databases import MissingStore
from laimbench.store.leases import Leases
from laimbench.store.store import Claim, LostLease, MetricRow, RunRow, Store

__all__ = ["Claim", "Leases", "LostLease", "MetricRow", "MissingStore", "RunRow", "Store"]
