"""Which runs tell most for a budget: c-optimal designs for scaling laws. Needs NumPy and SciPy only."""

from laimbench.design.optimal import Candidates, Noise, whole_runs
from laimbench.design.quantities import Quantity, exponent, optimum, parse_question, prediction
from laimbench.design.sequential import Designer, Plan, Result, Space, run_sequentially
from laimbench.design.speedup import Speedup

__all__ = [
    "Candidates", "Designer", "Noise", "Plan", "Quantity", "Result", "Space", "Speedup", "exponent", "optimum", "parse_question", "prediction",
    "run_sequentially", "whole_runs",
]  # fmt: skip
