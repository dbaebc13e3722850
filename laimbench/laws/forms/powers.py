"""Sums of powers: an irreducible loss plus terms c x^-a, the family of nearly all published laws.

In theta = (offset, log coefficients, exponents) the log of each power is linear, so value, gradient and Hessian over all rows come from
a few matrix products: the derivative of log L by the log of a term is the term's share of the loss, and that by the offset is 1 / L.
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from typing import NamedTuple

import numpy as np

from laimbench.laws.forms.base import Form, Parameter, grid

OFFSET_SHARES = (0.05, 0.3, 0.6, 0.9, 0.98)  # of the least loss
TERM_SHARES = (0.2, 0.5, 0.8)  # of what the offset leaves of the median loss
EXPONENTS = (0.1, 0.3, 0.6, 1.0)


class Factor(NamedTuple):
    """A variable (by index) to the power sign * exponent; the exponent is a parameter (by index) or a number."""

    variable: int
    sign: float
    parameter: int | None = None
    exponent: float = 1.0


class Term(NamedTuple):
    """A coefficient (index of its parameter) times powers; without factors it is the irreducible loss, an "offset"."""

    coefficient: int
    factors: tuple[Factor, ...] = ()


class _Slot(NamedTuple):
    """Where a parameter moves the log of a term: d log term / d parameter = multiplier * basis column (0: ones, v + 1: log x_v)."""

    parameter: int
    column: int
    multiplier: float


@dataclass(frozen=True)
class _Design:
    """basis (1 + V, R); products (R, columns) of basis columns for each pair of terms; blocks (terms, M, M): the mean over rows of u u',
    u the gradient of the log of a term.
    """

    basis: np.ndarray
    products: dict[tuple[int, int], np.ndarray]
    blocks: np.ndarray


class SumOfPowers(Form):
    """L = sum of terms with positive coefficients; at most one has no factors."""

    def __init__(self, name, equation, variables, parameters, terms, source="", notes=""):
        self.name, self.equation, self.source, self.notes = name, equation, source, notes
        self.variables, self.parameters, self.terms = tuple(variables), tuple(parameters), tuple(terms)
        self._slots = [
            [_Slot(t.coefficient, 0, 1.0)]
            + [_Slot(f.parameter, f.variable + 1, f.sign) for f in t.factors if f.parameter is not None]
            for t in self.terms
        ]
        # Of each pair of terms: the pairs of basis columns whose products its second derivatives need, and the matrix that takes their
        # moments to the Hessian (M * M, columns); of each term the matrix to the gradient (M, columns).
        self._columns, self._to_hessian, self._to_gradient = {}, {}, []
        for j, k in combinations_with_replacement(range(len(self.terms)), 2):
            columns = sorted({_ordered(a.column, b.column) for a in self._slots[j] for b in self._slots[k]})
            to_hessian = np.zeros((self.size, self.size, len(columns)))
            for a, b in product(self._slots[j], self._slots[k]):
                at = columns.index(_ordered(a.column, b.column))
                to_hessian[a.parameter, b.parameter, at] += a.multiplier * b.multiplier
                if j != k:
                    to_hessian[b.parameter, a.parameter, at] += a.multiplier * b.multiplier
            self._columns[j, k] = columns
            self._to_hessian[j, k] = to_hessian.reshape(self.size**2, -1)
            if j == k:
                to_gradient = np.zeros((self.size, len(columns)))
                for slot in self._slots[k]:
                    to_gradient[slot.parameter, columns.index((0, slot.column))] += slot.multiplier
                self._to_gradient.append(to_gradient)

    def design(self, log_x: np.ndarray) -> _Design:
        basis = np.concatenate([np.ones((1, log_x.shape[1])), log_x])
        products = {
            pair: np.ascontiguousarray(np.stack([basis[a] * basis[b] for a, b in columns], axis=-1))
            for pair, columns in self._columns.items()
        }
        return _Design(basis, products, self._blocks(basis))

    def evaluate(self, theta: np.ndarray, design: _Design):
        values = []
        for term in self.terms:
            if not term.factors:
                values.append(theta[:, term.coefficient, None])
                continue
            rows = [0] + [f.variable + 1 for f in term.factors]
            powers = np.empty((len(theta), len(rows)))
            powers[:, 0] = theta[:, term.coefficient]
            for i, f in enumerate(term.factors, start=1):
                powers[:, i] = f.sign * (f.exponent if f.parameter is None else theta[:, f.parameter])
            value = powers @ design.basis[rows]
            values.append(np.exp(value, out=value))
        total = np.zeros((len(theta), design.basis.shape[1]))
        for value in values:
            total += value
        log_loss = np.log(total)
        np.reciprocal(total, out=total)
        pulls = [
            total if not term.factors else np.multiply(value, total, out=value)
            for term, value in zip(self.terms, values, strict=True)
        ]
        return log_loss, (pulls, design)

    def derivatives(self, state, slope: np.ndarray, curvature: np.ndarray):
        """Return gradient and Hessian: sum of (curvature - slope) g g' + slope * sum over powers of share u u', where g is the gradient of
        log L and u that of the log of a power.
        """
        pulls, design = state
        problems = len(slope)
        gradient, hessian = np.zeros((self.size, problems)), np.zeros((self.size**2, problems))
        bent = curvature - slope
        for k, pull in enumerate(pulls):
            moments = ((slope * pull) @ design.products[k, k]).T
            gradient += self._to_gradient[k] @ moments
            if self.terms[k].factors:
                hessian += self._to_hessian[k, k] @ moments
            bent_pull = bent * pull
            for other in range(k, len(pulls)):
                hessian += self._to_hessian[k, other] @ ((bent_pull * pulls[other]) @ design.products[k, other]).T
        return gradient, hessian.reshape(self.size, self.size, problems)

    def jacobian(self, state) -> np.ndarray:
        pulls, design = state
        out = np.zeros((self.size, *pulls[0].shape))
        for slots, share in zip(self._slots, pulls, strict=True):
            for slot in slots:
                out[slot.parameter] += slot.multiplier * share * design.basis[slot.column]
        return out

    def reach(self, design: _Design) -> np.ndarray:
        powers = [bool(term.factors) for term in self.terms]
        return 1e-4 * np.eye(self.size) + design.blocks[powers].sum(0)

    def stiffness(self, state) -> np.ndarray:
        pulls, design = state
        weights = np.stack(
            [
                pull.mean(-1) if t.factors else np.square(pull).mean(-1)
                for t, pull in zip(self.terms, pulls, strict=True)
            ]
        )
        return (design.blocks.reshape(len(self.terms), -1).T @ weights).reshape(self.size, self.size, -1)

    def _blocks(self, basis: np.ndarray) -> np.ndarray:
        blocks = []
        for slots in self._slots:
            moved = np.zeros((self.size, basis.shape[1]))
            for slot in slots:
                moved[slot.parameter] += slot.multiplier * basis[slot.column]
            blocks.append(moved @ moved.T / moved.shape[1])
        return np.stack(blocks)

    def starts(self, log_x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return a grid: shares of the offset in the least loss, exponents, and shares of each term in the rest."""
        offsets = [term for term in self.terms if not term.factors]
        terms = [term for term in self.terms if term.factors]
        exponents = {f.parameter: -f.sign for term in terms for f in term.factors if f.parameter is not None}
        grids = [OFFSET_SHARES if offsets else (0.0,), *[EXPONENTS] * len(exponents), *[TERM_SHARES] * len(terms)]
        points = grid(*grids)
        least, typical, centre = np.exp(y.min()), np.exp(np.median(y)), np.median(log_x, axis=1)
        theta = np.zeros((len(points), self.size))
        for term in offsets:
            theta[:, term.coefficient] = points[:, 0] * least / len(offsets)
        for i, (parameter, direction) in enumerate(exponents.items(), start=1):
            theta[:, parameter] = direction * points[:, i]
        rest = np.maximum(typical - points[:, 0] * least, 1e-3 * typical)
        for i, term in enumerate(terms, start=1 + len(exponents)):
            theta[:, term.coefficient] = np.log(rest * points[:, i])
        for term in terms:  # so far coefficients of x / centre
            for f in term.factors:
                exponent = f.exponent if f.parameter is None else theta[:, f.parameter]
                theta[:, term.coefficient] -= f.sign * exponent * centre[f.variable]
        return theta


def _ordered(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a <= b else (b, a)


def power_law(variable: str = "flops") -> SumOfPowers:
    """L = E + a x^-b in any one variable. Source: Kaplan et al. 2020 (arXiv:2001.08361) with the offset of Henighan et al. 2020
    (arXiv:2010.14701), eq. 1.1. Gradient: closed form. Domain: x > 0.
    """
    symbol = {"flops": "C", "params": "N", "tokens": "D"}.get(variable, variable)
    return SumOfPowers(
        name="power",
        equation=f"L = E + a {symbol}^-b",
        variables=(variable,),
        parameters=(
            Parameter("E", "offset", "irreducible loss"),
            Parameter("a", "log"),
            Parameter("b", "plain", "exponent"),
        ),
        terms=(Term(0), Term(1, (Factor(0, -1.0, 2),))),
        source="Kaplan et al. 2020 (arXiv:2001.08361); offset: Henighan et al. 2020 (arXiv:2010.14701), eq. 1.1",
        notes="E is identified only where the data bend on log-log axes; otherwise it is open downwards.",
    )


POWER_LAW = power_law()

CHINCHILLA = SumOfPowers(
    name="chinchilla",
    equation="L = E + A / N^alpha + B / D^beta",
    variables=("params", "tokens"),
    parameters=(
        Parameter("E", "offset", "irreducible loss"), Parameter("A", "log"), Parameter("alpha", "plain", "exponent of N"),
        Parameter("B", "log"), Parameter("beta", "plain", "exponent of D"),
    ),
    terms=(Term(0), Term(1, (Factor(0, -1.0, 2),)), Term(3, (Factor(1, -1.0, 4),))),
    source="Hoffmann et al. 2022 (arXiv:2203.15556), eq. 10",
    notes="Needs runs in which N and D vary against each other: on one line of N and D the two terms cannot be told apart.",
)  # fmt: skip
"""Loss against parameters N and training tokens D. Gradient and Hessian: closed form. Domain: N, D > 0."""
