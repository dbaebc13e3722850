"""The rows of a table as the three approaches see them: evaluations of training curves, and where each run ends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.forms.base import log_columns
from laimbench.laws.planning.allocation import six_nd

SAME_SIZE = 0.01  # sizes closer than this in log parameters are one size
COUNTED = ("params", "tokens", "flops")


@dataclass(frozen=True)
class Rows:
    """columns: by name, params, tokens, flops, loss and what else the table has, (rows,) each.

    flops = k N^g D describes the table's count of FLOPs: k = 6, g = 1 exactly where it is 6 N D, else by least squares on logs.
    """

    columns: dict[str, np.ndarray]
    k: float
    g: float

    def __len__(self) -> int:
        return len(self.columns["loss"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    @classmethod
    def of(cls, runs: Mapping[str, Any]) -> "Rows":
        """Check the columns and add the third of params, tokens and flops by C = 6 N D.

        Args:
            runs: columns by name, (rows,) each: loss in nats, and two at least of params, tokens and flops; run (label), where the rows are
                evaluations of training curves; budget (FLOPs), where the runs were planned by budget.

        Raises:
            InputError: a column that is missing, of another length, or with a value that is not positive and finite.
        """
        columns = {name: np.atleast_1d(np.asarray(column)) for name, column in runs.items()}
        given = [name for name in COUNTED if name in columns]
        if "loss" not in columns or len(given) < 2:
            raise InputError(
                f"columns are {', '.join(columns) or 'none'}, expected loss and two at least of {', '.join(COUNTED)}"
            )
        for name, column in columns.items():
            if len(column) != len(columns["loss"]):
                raise InputError(f"{name} has {len(column)} rows and loss has {len(columns['loss'])}, expected as many")
        for name in (*given, "loss"):
            columns[name] = np.exp(log_columns((columns[name],), (name,))[0])
        if "flops" not in columns:
            columns["flops"] = six_nd(columns["params"], columns["tokens"])
        elif "tokens" not in columns:
            columns["tokens"] = columns["flops"] / six_nd(columns["params"], 1.0)
        elif "params" not in columns:
            columns["params"] = columns["flops"] / six_nd(1.0, columns["tokens"])
        return cls(columns, *_counted(columns))

    @property
    def count(self) -> Callable[[Any, Any], Any]:
        """The count of FLOPs as a function of params and tokens."""
        return six_nd if (self.k, self.g) == (6.0, 1.0) else lambda params, tokens: self.k * params**self.g * tokens

    def select(self, chosen: np.ndarray) -> "Rows":
        """Return the rows of a mask or of indices; the count of FLOPs stays."""
        return replace(self, columns={name: column[chosen] for name, column in self.columns.items()})

    def with_columns(self, **columns: np.ndarray) -> "Rows":
        """Return the rows with other columns, their count of FLOPs found anew."""
        return Rows.of(self.columns | columns)

    @property
    def labels(self) -> np.ndarray:
        """The number of each row's run, (rows,); without a column run every row is one."""
        if "run" not in self:
            return np.arange(len(self))
        return np.unique(self["run"], return_inverse=True)[1].ravel()

    @property
    def has_curves(self) -> bool:
        return "run" in self and len(np.unique(self.labels)) < len(self)

    @property
    def last(self) -> np.ndarray:
        """Mask (rows,) of the row in which each run ends: its most tokens."""
        order = np.lexsort((self["tokens"], self.labels))
        labels = self.labels[order]
        ends = order[np.append(labels[1:] != labels[:-1], True)] if len(order) else order
        mask = np.zeros(len(self), bool)
        mask[ends] = True
        return mask

    @property
    def ends(self) -> "Rows":
        return self.select(self.last)

    @property
    def sizes(self) -> np.ndarray:
        """The number of each row's size, (rows,), in ascending order: what lies within SAME_SIZE of its neighbour is one."""
        return groups(np.log(self["params"]), SAME_SIZE)


def groups(values: np.ndarray, gap: float) -> np.ndarray:
    """Return the number of each value's group, (rows,), ascending; groups are parted by more than ``gap``."""
    order = values.argsort(kind="stable")
    out = np.empty(len(values), int)
    out[order] = np.concatenate([[0], np.cumsum(np.diff(values[order]) > gap)])[: len(values)]
    return out


def _counted(columns: dict[str, np.ndarray]) -> tuple[float, float]:
    log_n, log_d, log_c = (np.log(columns[name]) for name in COUNTED)
    if len(log_n) == 0 or np.abs(log_c - np.log(6.0) - log_n - log_d).max() < 1e-6:
        return 6.0, 1.0
    if np.ptp(log_n) < SAME_SIZE:
        return float(np.exp(np.mean(log_c - log_n - log_d))), 1.0
    g, log_k = np.polyfit(log_n, log_c - log_d, 1)
    return float(np.exp(log_k)), float(g)
