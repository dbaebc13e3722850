"""Minimise sums of Huber losses of log residuals, many problems at once.

The problem: sum over rows of weight * huber(log L(x; theta) - log loss). Starts and bootstrap samples are the leading axis of
one batch; each member has its own damping and stops moving when it no longer improves.
"""

import numpy as np
from scipy.optimize import minimize

from laimbench.laws.forms import Form

ITERATIONS = 150
BATCH_ELEMENTS = 2_000_000  # problems x rows at a time: bounds the memory


def huber(residual: np.ndarray, delta: float) -> np.ndarray:
    """Return r^2 / 2 within delta, delta (|r| - delta / 2) beyond (Huber 1964)."""
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))


def objective(form: Form, theta, log_x, log_loss, weights, delta: float) -> np.ndarray:
    """Return the sum over rows, (...,), for theta (..., size) and weights (rows,) or (..., rows)."""
    return (weights * huber(form.log_loss(theta, log_x) - log_loss, delta)).sum(-1)


def solve_batch(form: Form, starts, log_x, log_loss, weights, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (theta, objective) of every start: Levenberg-Marquardt on the iteratively reweighted squares.

    Args:
        starts: (problems, size); weights: (rows,) or (problems, rows).
    """
    weights = np.broadcast_to(weights, (len(starts), len(log_loss)))
    step = max(1, BATCH_ELEMENTS // len(log_loss))
    parts = [
        _solve(form, starts[i : i + step], log_x, log_loss, weights[i : i + step], delta)
        for i in range(0, len(starts), step)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _solve(form: Form, starts, log_x, log_loss, weights, delta: float) -> tuple[np.ndarray, np.ndarray]:
    theta = starts.copy()
    best = objective(form, theta, log_x, log_loss, weights, delta)
    damping = np.full(len(theta), 1e-2)
    active = np.arange(len(theta))
    diagonal = np.arange(form.size)
    for _ in range(ITERATIONS):
        value, jacobian = form.log_loss_and_jacobian(theta[active], log_x)
        residual = value - log_loss
        pull = weights[active] * np.minimum(1.0, delta / np.maximum(np.abs(residual), 1e-300))
        weighted = jacobian * pull[..., None]
        gradient = np.einsum("prm,pr->pm", weighted, residual)
        normal = weighted.swapaxes(-1, -2) @ jacobian
        scale = normal[:, diagonal, diagonal]
        normal[:, diagonal, diagonal] += damping[active, None] * scale + 1e-12 * scale.max(-1, keepdims=True) + 1e-300
        move = np.linalg.solve(normal, -gradient[..., None])[..., 0]
        # A step of more than a few units in a logarithm is a wild guess from a flat place.
        move *= np.minimum(1.0, 3.0 / np.maximum(np.abs(move).max(-1, keepdims=True), 1e-300))
        trial = theta[active] + move
        reached = objective(form, trial, log_x, log_loss, weights[active], delta)
        better = reached < best[active]
        gain = best[active] - reached
        theta[active[better]] = trial[better]
        best[active[better]] = reached[better]
        damping[active] *= np.where(better, 0.3, 5.0)
        stuck = np.where(better, gain <= 1e-13 * best[active], damping[active] > 1e12)
        active = active[~stuck]
        if not len(active):
            break
    return theta, best


def polish(form: Form, theta, log_x, log_loss, weights, delta: float) -> tuple[np.ndarray, float]:
    """Return the minimum near one theta to machine precision: BFGS on the true gradient, restarted until it stands."""

    def value_and_gradient(point):
        value, jacobian = form.log_loss_and_jacobian(point, log_x)
        residual = value - log_loss
        slope = weights * np.clip(residual, -delta, delta)
        return (weights * huber(residual, delta)).sum() / delta, slope @ jacobian / delta

    best = theta
    best_value = value_and_gradient(best)[0]
    for _ in range(20):
        found = minimize(value_and_gradient, best, jac=True, method="BFGS", options={"gtol": 1e-12, "maxiter": 500})
        if not found.fun < best_value * (1 - 1e-14):
            break
        best, best_value = found.x, found.fun
    return best, float(best_value * delta)
