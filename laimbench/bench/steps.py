"""Whole training steps: forward, backward, clipping and optimizer, of the same model under each backend."""

from laimbench.train import RunConfig, Trainer

SUITES = {
    "quick": [{"width": 128, "depth": 4}],
    "cpu": [{"width": 256, "depth": 4}, {"width": 512, "depth": 8}],
    "cuda": [{"width": 768, "depth": 12, "seqlen": 1024, "batch_size": 16}],
    "full": [{"width": 128, "depth": 4}, {"width": 256, "depth": 4}, {"width": 512, "depth": 8}],
}


def step_trainers(size: dict[str, int], dtype: str, backends: list[str], device: str = "cpu") -> dict[str, Trainer]:
    """Return one trainer per backend, same weights and data, with steps enough for any timing."""
    batch = {"seqlen": 128, "batch_size": 8, **size}
    tokens = 10_000 * batch["seqlen"] * batch["batch_size"]
    common = {"dtype": dtype, "tokens": tokens, "eval_tokens": 2048, "device": device, **batch}
    return {backend: Trainer(RunConfig(backend=backend, **common)) for backend in backends}
