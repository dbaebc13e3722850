"""What a sweep can be designed to find out, as functions of a law L = E + A / N^alpha + B / D^beta, with their gradients.

theta (..., 5) is the law as ``laimbench.laws`` holds it: E, log A, alpha, log B, beta. Compute is C = 6 N D. The optimum is that of
``laimbench.laws.planning.allocation`` (Hoffmann et al. 2022, eq. 4).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from laimbench.design.optimal import Noise
from laimbench.errors import InputError
from laimbench.laws.planning.allocation import closed_form
from laimbench.laws.units import parse_flops

LAW_SIZE = 5
FEWEST = LAW_SIZE + 3  # configurations from which on a law is fitted: with fewer there is no interval
# How much more variance a fit by narrow Huber loss has under normal noise than least squares: that of the median (Huber 1964).
HUBER = np.pi / 2
NAMES = ("exponent", "optimum", "speedup", "prediction")


@dataclass(frozen=True)
class Quantity:
    """name; compute: the FLOPs at which it is asked, None for an exponent; meaning: in words; logarithmic: whether ``value`` is a logarithm;
    value: theta (..., 5) to (...,); gradient: theta (..., 5) to (..., 5).
    """

    name: str
    compute: float | None
    meaning: str
    logarithmic: bool
    value: Callable[[np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray], np.ndarray]

    size = LAW_SIZE
    fewest = FEWEST  # configurations for an interval

    @staticmethod
    def observed(laws: np.ndarray, log_n: np.ndarray, log_d: np.ndarray) -> np.ndarray:
        """Return the gradient (K, R, 5) of what a run shows, its log loss, under each law."""
        return log_loss_gradient(laws, log_n, log_d)

    @staticmethod
    def noise(of_loss: Noise) -> Noise:
        """Return the noise with which an estimate sees it."""
        return Noise(*(np.sqrt(HUBER) * part for part in (of_loss.within, of_loss.between)))

    def natural(self, value: float) -> float:
        """Return the value in its own unit."""
        return float(np.exp(value)) if self.logarithmic else float(value)

    def half_width(self, low: float, high: float) -> float:
        """Return half of an interval with these ends in their own unit, on the scale of ``value``."""
        with np.errstate(divide="ignore"):
            return float(np.log(high) - np.log(low) if self.logarithmic else high - low) / 2


def parse_question(text: str) -> tuple[str, float | None]:
    """Return name and compute of ``exponent``, ``optimum@1e20``, ``speedup``, ``prediction@1e21``.

    Raises:
        InputError: another name, a compute where none is asked, or none for a prediction.
    """
    name, at, where = text.partition("@")
    if name not in NAMES or (at and name == "exponent"):
        raise InputError(f"{text!r}, expected exponent, optimum, speedup or prediction, the last three with @FLOPS")
    if name == "prediction" and not at:
        raise InputError(f"{text!r}, expected the compute to predict at too: prediction@1e18")
    return name, parse_flops(where) if at else None


def exponent() -> Quantity:
    """The exponent c of the best loss, L* = E + const C^-c, c = alpha beta / (alpha + beta)."""

    def value(theta: np.ndarray) -> np.ndarray:
        alpha, beta = theta[..., 2], theta[..., 4]
        return _where_there_is_an_optimum(theta, lambda: alpha * beta / (alpha + beta))

    def gradient(theta: np.ndarray) -> np.ndarray:
        alpha, beta = theta[..., 2], theta[..., 4]
        out = np.zeros_like(theta)
        out[..., 2], out[..., 4] = (beta / (alpha + beta)) ** 2, (alpha / (alpha + beta)) ** 2
        return out

    return Quantity("exponent", None, "exponent of loss in compute", False, value, gradient)


def optimum(compute: float) -> Quantity:
    """The logarithm of the best number of parameters N* for ``compute`` FLOPs."""
    log_c = np.log(compute / 6)

    def value(theta: np.ndarray) -> np.ndarray:
        _, log_a, alpha, log_b, beta = np.moveaxis(theta, -1, 0)
        found = lambda: (np.log(alpha) + log_a - np.log(beta) - log_b + beta * log_c) / (alpha + beta)  # noqa: E731
        return _where_there_is_an_optimum(theta, found)

    def gradient(theta: np.ndarray) -> np.ndarray:
        alpha, beta = theta[..., 2], theta[..., 4]
        total, found = alpha + beta, value(theta)
        parts = [0 * total, 1 / total, (1 / alpha - found) / total, -1 / total, (log_c - 1 / beta - found) / total]
        return np.stack(parts, axis=-1)

    return Quantity("optimum", compute, f"best parameters at {compute:.3g} FLOPs", True, value, gradient)


def prediction(compute: float) -> Quantity:
    """The logarithm of the least loss that ``compute`` FLOPs reach."""

    def best(theta: np.ndarray) -> tuple[np.ndarray, ...]:
        E, log_a, alpha, log_b, beta = np.moveaxis(theta, -1, 0)
        law = {"E": E, "A": np.exp(log_a), "alpha": alpha, "B": np.exp(log_b), "beta": beta}
        return tuple(column[..., 0] for column in closed_form(law, np.array([compute])))

    def value(theta: np.ndarray) -> np.ndarray:
        return _where_there_is_an_optimum(theta, lambda: np.log(best(theta)[2]))

    def gradient(theta: np.ndarray) -> np.ndarray:
        params, tokens, _ = best(theta)
        # At the optimum, to move the split changes nothing: only the law's own parameters do.
        return log_loss_gradient(theta, np.log(params)[..., None], np.log(tokens)[..., None])[..., 0, :]

    return Quantity(
        "prediction",
        compute,
        f"least loss at {compute:.3g} FLOPs",
        True,
        value,
        gradient,
    )


def _where_there_is_an_optimum(theta: np.ndarray, value: Callable[[], np.ndarray]) -> np.ndarray:
    """Return a value, infinite for laws (..., 5) whose loss does not fall with both size and tokens: of refits some may be such."""
    with np.errstate(all="ignore"):
        return np.where((theta[..., [2, 4]] > 0).all(-1), value(), np.inf)


def log_loss(theta: np.ndarray, log_n: np.ndarray, log_d: np.ndarray) -> np.ndarray:
    """Return log L (..., R) of laws theta (..., 5) at log parameters and log tokens, (R,) or (..., R)."""
    return np.log(sum(_terms(theta, log_n, log_d)))


def log_loss_gradient(theta: np.ndarray, log_n: np.ndarray, log_d: np.ndarray) -> np.ndarray:
    """Return the derivative of log L by theta, (..., R, 5)."""
    terms = _terms(theta, log_n, log_d)
    loss = sum(terms)
    _, by_size, by_tokens = (term / loss for term in terms)
    return np.stack([1 / loss, by_size, -log_n * by_size, by_tokens, -log_d * by_tokens], axis=-1)


def _terms(theta: np.ndarray, log_n: np.ndarray, log_d: np.ndarray) -> tuple[np.ndarray, ...]:
    E, log_a, alpha, log_b, beta = (theta[..., i, None] for i in range(5))
    return E, np.exp(log_a - alpha * log_n), np.exp(log_b - beta * log_d)
