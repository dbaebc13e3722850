"""What a functional form is: an equation in named parameters, and how a solver sees it.

Shapes: P problems (starts, bootstrap samples) solved at once, R rows of the table, M parameters, V variables. A parameter lives in
theta as its logarithm ("log": positive), its logit ("logit": between 0 and 1) or as it is ("plain", and "offset": 0 or more, so that a law
without irreducible loss is a point and not at infinity). Losses are modelled on the log scale (``link`` "log"), bounded metrics as they
are ("identity").
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.forms.jet import Jet, variables_of

# No parameter that data can tell from its limit lies outside of these; they keep a solver from running to infinity.
BOX = {"log": (-200.0, 200.0), "logit": (-20.0, 20.0), "plain": (-20.0, 20.0), "offset": (0.0, np.inf)}


@dataclass(frozen=True)
class Parameter:
    """Name and kind of one parameter; ``meaning`` is a word for tables."""

    name: str
    kind: str
    meaning: str = ""


class Form(ABC):
    """One functional form.

    name, equation, source (paper and equation), notes (domain, what data identify it), variables (what it is a law in, all
    positive), parameters; link: the scale of the residuals; delta: the usual scale of a Huber loss on it.
    """

    name: str
    equation: str
    source: str
    notes: str
    variables: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    link: str = "log"
    delta: float = 1e-3

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters)

    @property
    def size(self) -> int:
        return len(self.parameters)

    @abstractmethod
    def starts(self, log_x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return starting points (P, M) for log_x (V, R) and y (R,) on the link's scale."""

    def expression(self, theta: list[Jet], log_x: np.ndarray) -> Jet:
        """Return the equation on the link's scale from jets of the parameters; what most forms define."""
        raise NotImplementedError

    def design(self, log_x: np.ndarray) -> Any:
        """Return what ``evaluate`` wants of the rows, made once per fit."""
        return log_x

    def evaluate(self, theta: np.ndarray, design: Any) -> tuple[np.ndarray, Any]:
        """Return the form at theta (P, M), (P, R), and a state for the derivatives there."""
        jet = self.expression(variables_of(theta), design)
        return np.broadcast_to(jet.value, (len(theta), design.shape[1])), jet

    def derivatives(self, state: Any, slope: np.ndarray, curvature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return gradient (M, P) and Hessian (M, M, P) of a sum over rows with this slope and curvature in the form's value."""
        size, problems = self.size, len(slope)
        gradient, hessian = np.zeros((size, problems)), np.zeros((size, size, problems))
        for i, first in state.first.items():
            gradient[i] = (slope * first).sum(-1)
            for j, other in state.first.items():
                if i <= j:
                    hessian[i, j] = (curvature * first * other).sum(-1)
        for (i, j), second in state.second.items():
            hessian[i, j] += (slope * second).sum(-1)
        lower = np.tril_indices(size, -1)
        hessian[lower] = hessian.swapaxes(0, 1)[lower]
        return gradient, hessian

    def jacobian(self, state: Any) -> np.ndarray:
        """Return the derivative by theta, (M, P, R)."""
        value = state.value
        out = np.zeros((self.size, *value.shape))
        for i, first in state.first.items():
            out[i] = first
        return out

    def reach(self, design: Any) -> np.ndarray:
        """Return the matrix (M, M) in which a step of theta has length one when it changes the form's terms by about a factor e:
        what limits a solver's step.
        """
        return np.eye(self.size)

    def stiffness(self, state: Any) -> np.ndarray:
        """Return the matrix (M, M, P) of how much a step changes the form's value, mean over rows: what a solver damps by."""
        out = np.zeros((self.size, self.size, len(state.value)))
        for i, first in state.first.items():
            out[i, i] = (first * first).mean(-1)
        return out

    def at(self, theta: np.ndarray, *columns: Any) -> np.ndarray:
        """Return the form's value on the metric's own scale, (..., R), for theta (..., M) and one array (R,) per variable."""
        log_x = log_columns(columns, self.variables)
        flat = np.atleast_2d(theta)
        value = self.evaluate(flat, self.design(log_x))[0].reshape(*theta.shape[:-1], log_x.shape[1])
        return np.exp(value) if self.link == "log" else np.array(value)

    def to_link(self, y: np.ndarray) -> np.ndarray:
        return np.log(y) if self.link == "log" else y

    def natural(self, theta: np.ndarray) -> np.ndarray:
        """Return the parameters as their names mean them, (..., M)."""
        out = np.array(theta, dtype=float)
        for i, parameter in enumerate(self.parameters):
            if parameter.kind == "log":
                out[..., i] = np.exp(theta[..., i])
            elif parameter.kind == "logit":
                out[..., i] = 1 / (1 + np.exp(-theta[..., i]))
        return out

    def from_natural(self, natural: np.ndarray) -> np.ndarray:
        """Return theta (..., M) of parameters as their names mean them: the inverse of ``natural``."""
        out = np.array(natural, dtype=float)
        with np.errstate(all="ignore"):
            for i, parameter in enumerate(self.parameters):
                if parameter.kind == "log":
                    out[..., i] = np.log(out[..., i])
                elif parameter.kind == "logit":
                    out[..., i] = np.log(out[..., i]) - np.log1p(-out[..., i])
        low, high = self.box()
        return np.where(np.isinf(out), np.clip(out, low, high), out)

    def values(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return the parameters by name, (...,) each."""
        plain = self.natural(theta)
        return {name: plain[..., i] for i, name in enumerate(self.names)}

    def theta_of(self, values: dict[str, float], where: str = "parameters") -> np.ndarray:
        """Return theta (M,) of parameters by name; NaN where a name is missing.

        Raises:
            InputError: an unknown name, or a value outside of the parameter's domain.
        """
        theta = np.full(self.size, np.nan)
        for name, value in values.items():
            if name not in self.names:
                raise InputError(f"{where} names {name!r}, expected some of {', '.join(self.names)}")
            index = self.names.index(name)
            theta[index] = to_theta(self.parameters[index], float(value), where)
        return theta

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper limits of theta, (M,) each."""
        low, high = zip(*(BOX[p.kind] for p in self.parameters), strict=True)
        return np.array(low), np.array(high)


def to_theta(parameter: Parameter, value: float, where: str = "parameters") -> float:
    """Return one parameter as theta holds it, at its limit where the value is that."""
    low, high = BOX[parameter.kind]
    if parameter.kind == "log" and 0 <= value < np.inf:
        return max(low, float(np.log(value))) if value > 0 else low
    if parameter.kind == "logit" and 0 <= value <= 1:
        return float(np.clip(np.log(value) - np.log1p(-value), low, high)) if 0 < value < 1 else (low, high)[int(value)]
    if np.isfinite(value) and (parameter.kind == "plain" or (parameter.kind == "offset" and value >= 0)):
        return value
    expected = {
        "log": "a finite number of 0 or more",
        "offset": "a finite number of 0 or more",
        "logit": "a number from 0 to 1",
        "plain": "a finite number",
    }
    raise InputError(f"{where}: {parameter.name} is {value}, expected {expected[parameter.kind]}")


def log_columns(columns: tuple[Any, ...], names: tuple[str, ...]) -> np.ndarray:
    """Return the logarithms (V, R) of positive columns.

    Raises:
        InputError: another number of columns than names, unequal lengths, or a value that is not positive and finite.
    """
    if len(columns) != len(names):
        raise InputError(f"{len(columns)} columns, expected {len(names)}: {', '.join(names)}")
    arrays = [np.atleast_1d(np.asarray(column, dtype=float)) for column in columns]
    for name, array in zip(names, arrays, strict=True):
        if array.ndim != 1:
            raise InputError(f"{name} has shape {array.shape}, expected one dimension")
        if len(array) != len(arrays[0]):
            raise InputError(f"{name} has {len(array)} rows and {names[0]} has {len(arrays[0])}, expected as many")
        bad = ~(np.isfinite(array) & (array > 0))
        if bad.any():
            raise InputError(f"{name}[{int(bad.argmax())}] is {array[bad][0]}, expected a positive finite number")
    return np.log(np.stack(arrays))
