"""Tables of probabilities: drawn, sampled from, and their stationary law."""

import numpy as np

FLOOR = 1e-3  # share of every random row that is uniform: a chain forgets its start, whatever the concentration


def random_rows(generator: np.random.Generator, concentration: float, rows: int, columns: int) -> np.ndarray:
    """Return (rows, columns): each row drawn from a symmetric Dirichlet, then mixed with FLOOR of the uniform."""
    drawn = generator.standard_gamma(concentration, (rows, columns))
    drawn += np.finfo(float).tiny * columns  # a row whose draws all underflow becomes uniform
    return (1 - FLOOR) * drawn / drawn.sum(1, keepdims=True) + FLOOR / columns


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy in nats along the last axis."""
    safe = np.where(probabilities > 0, probabilities, 1.0)
    return -(probabilities * np.log(safe)).sum(-1)


def add_noise(generator: np.random.Generator, tokens: np.ndarray, noise: float, low: int, high: int) -> np.ndarray:
    """Replace each token with probability ``noise`` by a uniform one of low..high-1."""
    if not noise:
        return tokens
    return np.where(generator.random(tokens.shape) < noise, generator.integers(low, high, tokens.shape), tokens)


def pick(cumulative: np.ndarray, rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return for each i the first column c with cumulative[rows[i], c] > uniform[i]: inverse transform sampling.

    The search by halves touches log2(V) entries per draw, not the row. ``cumulative`` ends each row in 1.
    """
    low = np.zeros(len(rows), dtype=np.int64)
    high = np.full(len(rows), cumulative.shape[1] - 1, dtype=np.int64)
    for _ in range(int(cumulative.shape[1] - 1).bit_length()):
        middle = (low + high) // 2
        right = cumulative[rows, middle] <= uniform
        low, high = np.where(right, np.minimum(middle + 1, high), low), np.where(right, high, middle)
    return low


def cumulate(probabilities: np.ndarray) -> np.ndarray:
    """Return the running sums along the last axis, the last one exactly 1."""
    total = np.cumsum(probabilities, axis=-1)
    total[..., -1] = 1.0
    return total


def stationary(transition: np.ndarray, tolerance: float = 1e-14, most: int = 100_000) -> np.ndarray:
    """Return the stationary distribution (V^k,) of contexts under ``transition`` (V^k, V), by power iteration.

    A context is k tokens, the newest last in its number in base V; a step drops the oldest.

    Raises:
        ArithmeticError: the iteration does not settle: several or periodic classes, or mixing slower than 1/most.
    """
    contexts, vocab = transition.shape
    shaped = transition.reshape(vocab, contexts // vocab, vocab)
    belief = np.full(contexts, 1.0 / contexts)
    for _ in range(most):
        moved = np.einsum("om,omv->mv", belief.reshape(vocab, -1), shaped).ravel()
        moved /= moved.sum()
        if np.abs(moved - belief).sum() < tolerance:
            return moved
        belief = moved
    raise ArithmeticError(f"no stationary distribution within {most} steps")
