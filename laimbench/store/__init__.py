"""Where runs are kept: one SQLite file, safe against a kill at any moment."""

from laimbench.store.leases import Leases
from laimbench.store.store import Claim, LostLease, MetricRow, RunRow, Store

__all__ = ["Claim", "Leases", "LostLease", "MetricRow", "RunRow", "Store"]
