"""Values that carry their first and second derivatives, so that a form is only its equation.

A Jet holds arrays that broadcast to (P, R): a value, derivatives by parameter, and second derivatives by pair of parameters, kept only
where they are not zero. Forward mode, second order (Griewank & Walther 2008, chapter 13).
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Number = float | Array


@dataclass
class Jet:
    """value; first[i] = d/d theta_i; second[i, j], i <= j, = d2 / d theta_i d theta_j."""

    value: Array
    first: dict[int, Array]
    second: dict[tuple[int, int], Array]

    __array_ufunc__ = None  # an array on the left leaves the operation to the jet

    def __add__(self, other: "Jet | Number") -> "Jet":
        if not isinstance(other, Jet):
            return Jet(self.value + other, self.first, self.second)
        return Jet(self.value + other.value, _sum(self.first, other.first), _sum(self.second, other.second))

    def __neg__(self) -> "Jet":
        return self.scaled(-1.0)

    def __sub__(self, other: "Jet | Number") -> "Jet":
        return self + (-other)

    def __rsub__(self, other: Number) -> "Jet":
        return -self + other

    def __mul__(self, other: "Jet | Number") -> "Jet":
        if not isinstance(other, Jet):
            return self.scaled(other)
        first = _sum(_times(self.first, other.value), _times(other.first, self.value))
        second = _sum(_times(self.second, other.value), _times(other.second, self.value))
        for i, a in self.first.items():
            for j, b in other.first.items():
                key, product = (min(i, j), max(i, j)), a * b
                # d_i a d_j b + d_j a d_i b: a pair (i, j) with i != j is met from both sides, the diagonal once.
                second[key] = second.get(key, 0.0) + (2.0 * product if i == j else product)
        return Jet(self.value * other.value, first, second)

    __radd__ = __add__
    __rmul__ = __mul__

    def __truediv__(self, other: "Jet") -> "Jet":
        return self * other.through(1 / other.value, -1 / other.value**2, 2 / other.value**3)

    def scaled(self, factor: Number) -> "Jet":
        return Jet(self.value * factor, _times(self.first, factor), _times(self.second, factor))

    def through(self, value: Array, slope: Array, curvature: Array) -> "Jet":
        """Return f(self) by f, f' and f'' at its value."""
        second = _times(self.second, slope)
        for i, a in self.first.items():
            for j, b in self.first.items():
                if i <= j:
                    second[i, j] = second.get((i, j), 0.0) + curvature * a * b
        return Jet(value, _times(self.first, slope), second)


def variables_of(theta: Array) -> list[Jet]:
    """Return the parameters theta (P, M) as jets of shape (P, 1)."""
    return [Jet(theta[:, i : i + 1], {i: np.ones((len(theta), 1))}, {}) for i in range(theta.shape[1])]


def exp(x: Jet) -> Jet:
    value = np.exp(x.value)
    return x.through(value, value, value)


def log(x: Jet) -> Jet:
    return x.through(np.log(x.value), 1 / x.value, -1 / x.value**2)


def sigmoid(x: Jet) -> Jet:
    value = 1 / (1 + np.exp(-x.value))
    slope = value * (1 - value)
    return x.through(value, slope, slope * (1 - 2 * value))


def softplus(x: Jet) -> Jet:
    """log(1 + e^x)."""
    share = 1 / (1 + np.exp(-x.value))
    return x.through(np.logaddexp(0, x.value), share, share * (1 - share))


def logsumexp(*terms: Jet) -> Jet:
    top = np.maximum.reduce(np.broadcast_arrays(*(t.value for t in terms)))
    total = exp(terms[0] - top)
    for term in terms[1:]:
        total = total + exp(term - top)
    return log(total) + top


def minimum(a: Jet, b: Array) -> Jet:
    """The smaller of a jet and a constant, with its derivatives."""
    below = a.value <= b
    return a * below.astype(float) + np.where(below, 0.0, b)


def _times(derivatives: dict, factor: Number) -> dict:
    return {key: value * factor for key, value in derivatives.items()}


def _sum(a: dict, b: dict) -> dict:
    out = dict(a)
    for key, value in b.items():
        out[key] = out[key] + value if key in out else value
    return out
