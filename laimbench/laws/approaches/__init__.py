"""Hoffmann et al. 2022 (arXiv:2203.15556), section 3: three approaches to the compute-optimal frontier, and their comparison."""

from laimbench.laws.approaches.compare import Comparison, Disagreement, compare
from laimbench.laws.approaches.envelope import fit_envelope
from laimbench.laws.approaches.frontier import Absent, Frontier, Refusal, Split
from laimbench.laws.approaches.isoflop import fit_isoflop
from laimbench.laws.approaches.parametric import of_law
from laimbench.laws.approaches.rows import Rows

__all__ = [
    "Absent", "Comparison", "Disagreement", "Frontier", "Refusal", "Rows", "Split", "compare", "fit_envelope", "fit_isoflop", "of_law",
]  # fmt: skip
