"""Whole training steps: forward, backward, clipping and optimizer, of the same model under each backend."""

from laimbench.train import RunConfig, Trainer

SUITES = {
    "quick": [{"width": 128, "depth": 4}],
    "cpu": [{"width": 256, "depth": 4}, {"width": 512, "depth": 8}],
    "full": [{"width": 128, "depth": 4}, {"width": 256, "depth": 4}, {"width": 512, "depth": 8}],
}


def step_trainers(size: dict[str, int], dtype: str, backends: list[str]) -> dict[str, Trainer]:
    """Return one trainer per backend, same weights and data, with steps enough for any timing."""
    common = {"dtype": dtype, "tokens": 16 * 128 * 10_000, "eval_tokens": 2048, **size}
    return {backend: Trainer(RunConfig(backend=backend, **common)) for backend in backends}
