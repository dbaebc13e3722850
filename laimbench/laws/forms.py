"""The laws' functional forms: an irreducible loss plus one power of each variable.

Every form is L = E + sum over k of c_k x_k^-a_k. In the vector theta = (log E, log c_1, a_1, log c_2, a_2, ...) it is
log L = logsumexp(log E, log c_1 - a_1 log x_1, ...), positive everywhere and cheap to differentiate.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np


@dataclass(frozen=True)
class Form:
    """One functional form.

    variables: what it is a law in; names: its parameters in the order E, then coefficient and exponent per variable.
    """

    name: str
    equation: str
    variables: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        return 1 + 2 * len(self.variables)

    def log_terms(self, theta: np.ndarray, log_x: np.ndarray) -> np.ndarray:
        """Return the log of every term, (..., rows, terms), for theta (..., size) and log_x (rows, variables)."""
        offset = np.broadcast_to(theta[..., :1, None], (*theta.shape[:-1], len(log_x), 1))
        coefficient, exponent = theta[..., None, 1::2], theta[..., None, 2::2]
        return np.concatenate([offset, coefficient - exponent * log_x], axis=-1)

    def log_loss(self, theta: np.ndarray, log_x: np.ndarray) -> np.ndarray:
        """Return log L, (..., rows)."""
        terms = self.log_terms(theta, log_x)
        top = terms.max(-1, keepdims=True)
        return top[..., 0] + np.log(np.exp(terms - top).sum(-1))

    def log_loss_and_jacobian(self, theta: np.ndarray, log_x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log L (..., rows) and its derivative by theta (..., rows, size)."""
        terms = self.log_terms(theta, log_x)
        top = terms.max(-1, keepdims=True)
        share = np.exp(terms - top)
        total = share.sum(-1, keepdims=True)
        share /= total
        jacobian = np.empty((*share.shape[:-1], self.size))
        jacobian[..., 0] = share[..., 0]
        jacobian[..., 1::2] = share[..., 1:]
        jacobian[..., 2::2] = -share[..., 1:] * log_x
        return top[..., 0] + np.log(total[..., 0]), jacobian

    def values(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return the parameters by name, coefficients no longer as logs."""
        plain = theta.copy()
        plain[..., 0] = np.exp(theta[..., 0])
        plain[..., 1::2] = np.exp(theta[..., 1::2])
        return {name: plain[..., i] for i, name in enumerate(self.names)}

    def starts(self, log_x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        """Return starting points (starts, size): shares of the offset in the least loss, exponents, shares of each term."""
        exponents = (0.1, 0.3, 0.6, 1.0)
        shares = (0.2, 0.5, 0.8)
        least, typical = log_loss.min(), np.median(log_loss)
        points = []
        for share, powers in product((0.05, 0.3, 0.6, 0.9, 0.98), product(exponents, repeat=len(self.variables))):
            for split in product(shares, repeat=len(self.variables)):
                point = [least + np.log(share)]
                rest = np.log(max(np.exp(typical) - share * np.exp(least), 1e-3 * np.exp(typical)))
                for k, power in enumerate(powers):
                    point += [rest + np.log(split[k]) + power * np.median(log_x[:, k]), power]
                points.append(point)
        return np.array(points)


POWER_LAW = Form("power", "L = E + a C^-b", ("compute",), ("E", "a", "b"))
"""Loss against compute, or any one variable. Source: Kaplan et al. 2020 (arXiv:2001.08361) with the offset of
Henighan et al. 2020 (arXiv:2010.14701). Identified only where the data bend on log-log axes; else E is open downwards."""

CHINCHILLA = Form(
    "chinchilla", "L = E + A / N^alpha + B / D^beta", ("params", "tokens"), ("E", "A", "alpha", "B", "beta")
)
"""Loss against parameters N and tokens D. Source: Hoffmann et al. 2022 (arXiv:2203.15556), eq. 10. Needs runs in which N
and D vary against each other."""

FORMS = {form.name: form for form in (POWER_LAW, CHINCHILLA)}
