"""Scaling laws fitted to tables of runs, with intervals. Needs NumPy and SciPy only.

>>> from laimbench import laws
>>> fit = laws.fit_chinchilla(params, tokens, loss)
>>> fit.params["alpha"], fit.intervals["alpha"]
"""

from laimbench.laws.fit import Fit, fit_chinchilla, fit_form, fit_power_law
from laimbench.laws.forms import CHINCHILLA, POWER_LAW, Form
from laimbench.laws.table import Table, from_columns, from_dataframe, read_table

__all__ = [
    "CHINCHILLA", "POWER_LAW", "Fit", "Form", "Table", "fit_chinchilla", "fit_form", "fit_power_law", "from_columns",
    "from_dataframe", "read_table",
]  # fmt: skip
