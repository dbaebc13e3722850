"""The batched solver against a SciPy loop on the same work: 4,500 starts and 4,000 bootstrap refits on the 240 Chinchilla rows.

Run by ``make study-laws-speed`` (QUICK=1: a twentieth of it). Ours is timed before and after the loop in one process. Verified: no refit of
ours is above SciPy's by more than a millionth, the optimum is the published table's, and how many starts of each reach it.
"""

import time
from itertools import product
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp
from study_result import command_line, save

from laimbench import laws
from laimbench.laws.fit import fit_form
from laimbench.laws.solver import FROM_NEAR, solve

DELTA, OPTIMUM = 1e-3, 1.018274018e-3


def hoffmann_grid() -> np.ndarray:
    """Return the 4,500 starts of Hoffmann et al. 2022, appendix D.3, as (log E, log A, alpha, log B, beta)."""
    log_e, coefficient, exponent = (-1, -0.5, 0, 0.5, 1), range(0, 30, 5), (0, 0.5, 1, 1.5, 2)
    return np.array(list(product(log_e, coefficient, exponent, coefficient, exponent)), dtype=float)


def loop(log_n, log_d, log_loss, starts, weights) -> np.ndarray:
    """Return the objectives that BFGS with exact gradients reaches, one problem after the other, as the usual scripts do it."""
    found = []
    for start, weight in zip(starts, weights, strict=True):

        def objective(p, weight=weight):
            terms = np.stack([np.full_like(log_n, p[0]), p[1] - p[2] * log_n, p[3] - p[4] * log_d])
            value = logsumexp(terms, axis=0)
            share = np.exp(terms - value)
            r = value - log_loss
            slope = weight * np.clip(r, -DELTA, DELTA)
            total = (weight * np.where(np.abs(r) <= DELTA, 0.5 * r * r, DELTA * (np.abs(r) - 0.5 * DELTA))).sum()
            s = slope * share
            gradient = np.array([s[0].sum(), s[1].sum(), -(s[1] * log_n).sum(), s[2].sum(), -(s[2] * log_d).sum()])
            return total / DELTA, gradient / DELTA

        found.append(minimize(objective, start, jac=True, method="BFGS").fun * DELTA)
    return np.array(found)


def run(quick: bool) -> dict:
    table = Path(laws.__file__).parent / "tables" / "chinchilla_epoch.csv"
    runs = laws.read_table(table, where="kept_by_epoch=1").runs()
    fit = fit_form(laws.CHINCHILLA, (runs["params"], runs["tokens"]), runs["loss"], bootstrap=0)
    problem, rows = fit.problem, fit.rows
    grid = hoffmann_grid()
    starts, samples = (grid[::20], 200) if quick else (grid, 4000)
    counts = np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), size=samples).astype(float)
    ours_starts = starts.copy()
    ours_starts[:, 0] = np.exp(starts[:, 0])  # theta holds E itself

    def ours() -> tuple[float, np.ndarray, np.ndarray]:
        started = time.perf_counter()
        _, reached = solve(problem, ours_starts, np.ones(rows))
        _, refits = solve(problem, np.tile(fit.theta, (samples, 1)), lambda chosen: counts[chosen], stages=FROM_NEAR)
        return time.perf_counter() - started, reached, refits

    ours()  # once, unmeasured: imports and caches
    seconds = [ours()[0] for _ in range(3)]
    log_n, log_d, log_loss = *problem.log_x, problem.y
    optimum = fit.theta.copy()
    optimum[0] = np.log(optimum[0])
    started = time.perf_counter()
    scipy_starts = loop(log_n, log_d, log_loss, starts, np.ones((len(starts), rows)))
    scipy_refits = loop(log_n, log_d, log_loss, np.tile(optimum, (samples, 1)), counts)
    scipy_seconds = time.perf_counter() - started
    last, reached, refits = ours()
    seconds.append(last)
    return {
        "starts": len(starts), "samples": samples, "rows": rows,
        "ours_s": seconds, "ours_median_s": float(np.median(seconds)), "scipy_s": scipy_seconds,
        "ratio": scipy_seconds / float(np.median(seconds)),
        "optimum": float(reached.min()), "optimum_expected": OPTIMUM,
        "starts_at_optimum": {"ours": float(np.mean(reached <= OPTIMUM * (1 + 1e-6))), "scipy": float(np.mean(scipy_starts <= OPTIMUM * (1 + 1e-6)))},
        "refits_above_scipy": int((refits > scipy_refits * (1 + 1e-6)).sum()),
        "refits_below_scipy": int((refits < scipy_refits * (1 - 1e-6)).sum()),
        "worst_refit_against_scipy": float((refits / scipy_refits - 1).max()),
    }  # fmt: skip


if __name__ == "__main__":
    arguments = command_line(__doc__).parse_args()
    result = run(arguments.quick)
    print({name: value for name, value in result.items() if name != "ours_s"})
    save("laws-speed", result, None, arguments.quick)
