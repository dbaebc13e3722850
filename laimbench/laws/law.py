"""What the planner asks of a law, and laws known by their parameters: read from the JSON of a fit, or typed by hand."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.forms import FORMS

LEVEL = 0.95


class LawForm(Protocol):
    name: str
    equation: str
    variables: tuple[str, ...]


class Law(Protocol):
    """A law as the planner uses it: the fit itself, or parameters without data.

    params: natural parameters by name; sample_params: their bootstrap draws, (samples,) each, empty where there are none;
    warnings: what the data do not determine; domain: (least, largest) of each variable in the data, None where unknown.
    """

    form: LawForm
    params: dict[str, float]
    sample_params: dict[str, np.ndarray]
    warnings: list[str]
    domain: dict[str, tuple[float, float]] | None

    def predict(self, *columns: Any) -> np.ndarray:
        """Return the loss (rows,) at one array per variable of the form."""

    def draws(self, *columns: Any) -> np.ndarray:
        """Return the loss (samples, rows) under every bootstrap draw."""

    def to_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap interval; low and high are None where the law has no draws.

    unbounded: the share of the draws in which the quantity does not exist (a loss below that draw's E, say); where it
    exceeds the upper tail, high is infinite.
    """

    value: float
    low: float | None = None
    high: float | None = None
    unbounded: float = 0.0

    @classmethod
    def of(cls, value: Any, draws: Any, level: float = LEVEL) -> "Estimate":
        """Take the percentile interval of the draws; of none, no interval."""
        draws = np.asarray(draws, dtype=float)
        if not draws.size:
            return cls(float(value))
        # method "lower"/"higher" never interpolates between a finite draw and an infinite one
        low = float(np.quantile(draws, (1 - level) / 2, method="lower"))
        high = float(np.quantile(draws, (1 + level) / 2, method="higher"))
        return cls(float(value), low, high, float(np.mean(~np.isfinite(draws))))

    def to_dict(self) -> dict[str, float | None]:
        """Return value, low and high; what is infinite or unknown is None, as JSON has no infinity."""
        return {name: _finite(getattr(self, name)) for name in ("value", "low", "high", "unbounded")}


@dataclass(frozen=True)
class KnownLaw:
    """A law of a known form and parameters, with the bootstrap draws and the data's range where they are known.

    Raises:
        InputError: a parameter is missing, unknown, not finite, or out of the form's range.
    """

    form: Any
    params: dict[str, float]
    sample_params: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    warnings: list[str] = field(default_factory=list)
    domain: dict[str, tuple[float, float]] | None = None

    def __post_init__(self):
        names = tuple(self.form.names)
        for kind, given in (("parameters", self.params), ("draws", self.sample_params)):
            if given and set(given) != set(names):
                raise InputError(f"{kind} are {', '.join(given)}, expected {', '.join(names)}: {self.form.equation}")
        if not self.params:
            raise InputError(f"no parameters, expected {', '.join(names)}: {self.form.equation}")
        theta_of(self.form, self.params)

    def predict(self, *columns: Any) -> np.ndarray:
        return np.exp(self.form.log_loss(theta_of(self.form, self.params), log_columns(columns)))

    def draws(self, *columns: Any) -> np.ndarray:
        if not self.sample_params:
            return np.empty((0, len(log_columns(columns))))
        return np.exp(self.form.log_loss(theta_of(self.form, self.sample_params), log_columns(columns)))

    def to_dict(self) -> dict[str, Any]:
        return {"form": self.form.name, "equation": self.form.equation, "params": self.params,
                "draws": len(next(iter(self.sample_params.values()), ())), "warnings": self.warnings,
                "domain": None if self.domain is None else {k: list(v) for k, v in self.domain.items()}}  # fmt: skip


def theta_of(form: Any, params: Mapping[str, Any]) -> np.ndarray:
    """Return the form's own coordinates (..., size) of natural parameters: the inverse of ``form.values``.

    A form keeps each parameter as it is or as its logarithm; which one, shows at the zero vector. The round trip is checked.

    Raises:
        InputError: a parameter is not finite or not in the form's range.
    """
    with np.errstate(all="ignore"):
        is_log = {name: float(value) == 1.0 for name, value in form.values(np.zeros(form.size)).items()}
        columns = []
        for name in form.names:
            value = np.asarray(params[name], dtype=float)
            if not np.isfinite(value).all() or (is_log[name] and (value < 0).any()):
                raise InputError(f"{name} is {params[name]}, expected a finite number{' >= 0' * is_log[name]}")
            columns.append(np.log(value) if is_log[name] else value)
        theta = np.stack(columns, axis=-1)
        back = form.values(theta)
    for name in form.names:
        if not np.allclose(back[name], params[name], rtol=1e-9):
            raise InputError(f"{name} is {params[name]}, which the form {form.name} cannot hold")
    return theta


def log_columns(columns: tuple[Any, ...]) -> np.ndarray:
    """Return the logs of positive columns as (rows, variables); columns of one value are repeated."""
    return np.log(np.stack(np.broadcast_arrays(*(np.atleast_1d(np.asarray(c, dtype=float)) for c in columns)), -1))


def parse_law(text: str, form: str = "chinchilla") -> KnownLaw:
    """Return the law typed as ``E=1.8172,A=477.83,alpha=0.347,B=2143.4,beta=0.367``.

    Raises:
        InputError: naming the part that is wrong and what was expected.
    """
    if form not in FORMS:
        raise InputError(f"the law's form is {form!r}, expected one of {', '.join(FORMS)}")
    params = {}
    for part in text.split(","):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        if not separator or name in params:
            raise InputError(
                f"the law has {part.strip()!r}, expected each of {', '.join(FORMS[form].names)} once, =value"
            )
        try:
            params[name] = float(value)
        except ValueError:
            raise InputError(f"the law's {name} is {value!r}, expected a number") from None
    return KnownLaw(FORMS[form], params)


def load_law(path: str | Path) -> KnownLaw:
    """Read a law from the JSON that ``laimbench fit --json`` writes.

    Reads form, params and, where they are there, draws (name -> list), domain (variable -> [least, largest]), warnings.

    Raises:
        InputError: naming the file, the field, what stood there and what was expected.
    """
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}, expected the JSON of `laimbench fit --json`") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}), expected what `laimbench fit --json` writes") from None
    if not isinstance(document, dict) or not isinstance(document.get("params"), dict):
        raise InputError(f"{path}: no object params, expected what `laimbench fit --json` writes")
    if document.get("form") not in FORMS:
        raise InputError(f"{path}: form is {document.get('form')!r}, expected one of {', '.join(FORMS)}")
    try:
        return KnownLaw(
            FORMS[document["form"]],
            {name: float(value) for name, value in document["params"].items()},
            {name: np.array(values, dtype=float) for name, values in (document.get("draws") or {}).items()},
            [str(warning) for warning in document.get("warnings") or []],
            {name: (float(low), float(high)) for name, (low, high) in (document.get("domain") or {}).items()} or None,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: params, draws or domain are malformed ({error}), expected numbers by name") from None


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
