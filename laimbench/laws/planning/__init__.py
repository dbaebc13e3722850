"""From a law and a budget to models worth building: allocation of compute, budgets, shapes, memory, limits of data."""

from laimbench.laws.planning.allocation import allocate, compute_for_loss
from laimbench.laws.planning.law import load_law, parse_law
from laimbench.laws.planning.plan import make_plan

__all__ = ["allocate", "compute_for_loss", "load_law", "make_plan", "parse_law"]
