"""A figure of an evaluation as plain values: name, unit, value, and its 95 % interval where there is one."""

import math
from typing import Any

from laimbench.metrics.bootstrap import Interval

Figure = dict[str, Any]


def figure(name: str, unit: str, found: Interval | float) -> Figure:
    """Return {"name", "unit", "value"} and of an interval "lower", "upper" and how many "clusters" it was drawn from."""
    if not isinstance(found, Interval):
        return {"name": name, "unit": unit, "value": float(found)}
    ends = {"value": found.estimate, "lower": found.lower, "upper": found.upper, "clusters": found.clusters}
    return {"name": name, "unit": unit, **ends}


def exponential(name: str, unit: str, of: Figure) -> Figure:
    """Return exp of a figure and of its interval's ends: the perplexity of a loss in nats."""
    return {**of, **{key: math.exp(of[key]) for key in ("value", "lower", "upper")}, "name": name, "unit": unit}
