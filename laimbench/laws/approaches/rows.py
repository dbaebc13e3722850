"""The rows of a table as the three approaches see them: evaluations of training curves, and where each run ends."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.forms.base import log_columns
from laimbench.laws.planning.allocation import six_nd

SAME_SIZE = 0.01  # sizes closer than this in log parameters are one size
STRAIGHT = 1e-3  # of log C / D around a line
COUNTED = ("params", "tokens", "flops")


@dataclass(frozen=True)
class PerToken:
    """FLOPs per token as a function of size: log(C / D) is a polynomial of log N between ``ends``, straight beyond.

    coefficients: highest power first; (1, log 6) exactly where C = 6 N D. A straight line, C = k N^g D, where that holds within STRAIGHT, else a
    cubic (FLOPs that count embeddings, attention or the head where N does not, or the other way round).
    """

    coefficients: tuple[float, ...]
    ends: tuple[float, float]

    @classmethod
    def of(cls, columns: Mapping[str, np.ndarray]) -> "PerToken":
        log_n, log_d, log_c = (np.log(columns[name]) for name in COUNTED)
        y = log_c - log_d
        ends = (float(log_n.min()), float(log_n.max())) if len(y) else (0.0, 0.0)
        if len(y) == 0 or np.abs(y - np.log(6.0) - log_n).max() < 1e-6:
            return cls((1.0, float(np.log(6.0))), ends)
        if ends[1] - ends[0] < SAME_SIZE:
            return cls((1.0, float((y - log_n).mean())), ends)
        line = np.polyfit(log_n, y, 1)
        if np.abs(y - np.polyval(line, log_n)).max() > STRAIGHT and groups(log_n, SAME_SIZE).max() >= 5:
            cubic = np.polyfit(log_n, y, 3)
            if (np.polyval(np.polyder(cubic), np.linspace(*ends, 50)) > 0).all():
                return cls(tuple(float(c) for c in cubic), ends)
        return cls(tuple(float(c) for c in line), ends)

    @property
    def is_power(self) -> bool:
        """Whether C = k N^g D: then g, log k are the coefficients."""
        return len(self.coefficients) == 2

    def __call__(self, params: Any, tokens: Any) -> Any:
        """Return the FLOPs."""
        if self.coefficients == (1.0, float(np.log(6.0))):
            return six_nd(params, tokens)
        x = np.log(params)
        inside = np.clip(x, *self.ends)
        slope = np.polyval(np.polyder(self.coefficients), inside)
        return np.exp(np.polyval(self.coefficients, inside) + slope * (x - inside)) * tokens


@dataclass(frozen=True)
class Rows:
    """columns: by name, params, tokens, flops, loss and what else the table has, (rows,) each.

    per_token: the table's count of FLOPs.
    """

    columns: dict[str, np.ndarray]
    per_token: "PerToken"

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
        return cls(columns, PerToken.of(columns))

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
