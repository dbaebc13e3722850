"""Scaling laws fitted to tables of runs, with intervals. Needs NumPy and SciPy only.

>>> from laimbench import laws
>>> fit = laws.fit_chinchilla(params, tokens, loss)
>>> fit.params["alpha"], fit.intervals["alpha"]
"""

from laimbench.laws.approaches import compare as compare_approaches
from laimbench.laws.fit import Fit, fit_chinchilla, fit_form, fit_power_law, fit_runs
from laimbench.laws.forms import (  # fmt: skip
    CHINCHILLA,
    KAPLAN,
    POWER_LAW,
    REPEATED,
    Broken,
    Form,
    Sigmoid,
    SumOfPowers,
    get_form,
    parse_form,
    power_law,
)
from laimbench.laws.likelihood import Profile, covariance, delta_interval, profile
from laimbench.laws.planning import allocate, compute_for_loss, load_law, make_plan, parse_law
from laimbench.laws.quality import review
from laimbench.laws.selection import select_form
from laimbench.laws.table import Table, from_columns, from_dataframe, read_table

__all__ = [
    "CHINCHILLA", "KAPLAN", "POWER_LAW", "REPEATED", "Broken", "Fit", "Form", "Profile", "Sigmoid", "SumOfPowers", "Table", "allocate",
    "compare_approaches", "compute_for_loss", "covariance", "delta_interval", "fit_chinchilla", "fit_form", "fit_power_law", "fit_runs", "from_columns", "from_dataframe",
    "get_form", "load_law", "make_plan", "parse_form", "parse_law", "power_law", "profile", "read_table", "review", "select_form",
]  # fmt: skip
