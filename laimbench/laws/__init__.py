"""Scaling laws fitted to tables of runs, with intervals. Needs NumPy and SciPy only.

>>> from laimbench import laws
>>> fit = laws.fit_chinchilla(params, tokens, loss)
>>> fit.params["alpha"], fit.intervals["alpha"]
"""

from laimbench.laws.allocation import allocate, compute_for_loss
from laimbench.laws.fit import Fit, fit_chinchilla, fit_form, fit_power_law
from laimbench.laws.forms import CHINCHILLA, POWER_LAW, Form
from laimbench.laws.law import load_law, parse_law
from laimbench.laws.plan import make_plan
from laimbench.laws.table import Table, read_table

__all__ = [
    "CHINCHILLA", "POWER_LAW", "Fit", "Form", "Table", "allocate", "compute_for_loss", "fit_chinchilla", "fit_form",
    "fit_power_law", "load_law", "make_plan", "parse_law", "read_table",
]  # fmt: skip
