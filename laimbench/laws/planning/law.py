"""What the planner asks of a law, and laws known by their parameters: read from the JSON of a fit, or typed by hand."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.forms import Form, get_form

LEVEL = 0.95
VARIABLE_FORMS = ("power", "broken", "sigmoid")  # whose variables are chosen


class Law(Protocol):
    """A law as the planner uses it: the fit itself, or parameters without data.

    params: natural parameters by name; sample_params: their bootstrap draws, (samples,) each, empty where there are none;
    warnings: what the data do not determine; domain: (least, largest) of each variable in the data, None where unknown.
    """

    form: Form
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

    form: Form
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
        self.form.theta_of(self.params, self.form.name)

    def predict(self, *columns: Any) -> np.ndarray:
        return self.form.at(self._theta(self.params), *columns)

    def draws(self, *columns: Any) -> np.ndarray:
        if not self.sample_params:
            return np.empty((0, len(self.predict(*columns))))
        return self.form.at(self._theta(self.sample_params), *columns)

    def _theta(self, values: Mapping[str, Any]) -> np.ndarray:
        return self.form.from_natural(
            np.stack([np.asarray(values[name], dtype=float) for name in self.form.names], axis=-1)
        )

    def to_dict(self) -> dict[str, Any]:
        return {"form": self.form.name, "equation": self.form.equation, "params": self.params,
                "draws": len(next(iter(self.sample_params.values()), ())), "warnings": self.warnings,
                "domain": None if self.domain is None else {k: list(v) for k, v in self.domain.items()}}  # fmt: skip


def parse_law(text: str, form: str = "chinchilla") -> KnownLaw:
    """Return the law typed as ``E=1.8172,A=477.83,alpha=0.347,B=2143.4,beta=0.367``.

    Raises:
        InputError: naming the part that is wrong and what was expected.
    """
    known, params = get_form(form), {}
    for part in text.split(","):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        if not separator or name in params:
            raise InputError(f"the law has {part.strip()!r}, expected each of {', '.join(known.names)} once, =value")
        try:
            params[name] = float(value)
        except ValueError:
            raise InputError(f"the law's {name} is {value!r}, expected a number") from None
    return KnownLaw(known, params)


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
    try:
        return KnownLaw(
            _form_of(document),
            {name: float(value) for name, value in document["params"].items()},
            {name: np.array(values, dtype=float) for name, values in (document.get("draws") or {}).items()},
            [str(warning) for warning in document.get("warnings") or []],
            {name: (float(low), float(high)) for name, (low, high) in (document.get("domain") or {}).items()} or None,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: params, draws or domain are malformed ({error}), expected numbers by name") from None


def _form_of(document: dict[str, Any]) -> Form:
    name, variables = str(document.get("form")), tuple(str(v) for v in document.get("variables") or ())
    if name == "custom":
        return get_form(str(document.get("equation")), columns=variables)
    return get_form(name, variables if name in VARIABLE_FORMS else ())


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
