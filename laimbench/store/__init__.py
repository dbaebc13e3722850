"""Where runs are kept: one SQLite file, safe against a kill at any moment."""

from laimbench.store.store import MetricRow, RunRow, Store

__all__ = ["MetricRow", "RunRow", "Store"]
