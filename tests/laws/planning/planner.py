"""Laws that the planner's tests share."""

import numpy as np

from laimbench import laws
from laimbench.laws.planning.law import KnownLaw, parse_law

EPOCH = "E=1.8172,A=482.01,alpha=0.3478,B=2085.43,beta=0.3658"  # Besiroglu et al. 2024, arXiv:2404.10102, table 1
HOFFMANN = "E=1.6934,A=406.4,alpha=0.3392,B=410.7,beta=0.2849"  # Hoffmann et al. 2022, approach 3, digits of its source
SARDANA = "E=1.69,A=406.4,alpha=0.336,B=410.7,beta=0.283"  # Sardana et al. 2024, arXiv:2401.00448, section 3


def epoch():
    return parse_law(EPOCH)


def with_draws(samples=200, seed=0, spread=0.02):
    """Epoch's law with draws that are as dependent as those of a fit: exponents vary, the curve at 1e9 and 2e10 does not."""
    rng = np.random.default_rng(seed)
    point = epoch().params
    alpha, beta = (point[name] * np.exp(rng.normal(0, spread, samples)) for name in ("alpha", "beta"))
    draws = {"E": point["E"] * np.exp(rng.normal(0, 0.01, samples)), "A": point["A"] * 1e9 ** (alpha - point["alpha"]),
             "alpha": alpha, "B": point["B"] * 2e10 ** (beta - point["beta"]), "beta": beta}  # fmt: skip
    return KnownLaw(laws.CHINCHILLA, point, draws, domain={"params": (1e7, 1e10), "tokens": (1e9, 3e11)})


def six_nd_by_another_name(params, tokens):
    """C = 6 N D that the planner does not recognise: it has to search."""
    return 6.0 * params * tokens
