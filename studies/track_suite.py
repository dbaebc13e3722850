"""What the studies of ``laimbench track`` compare: three fused ops, and the ladder of the repository's own suite, shortened."""

import importlib.util
from pathlib import Path

import torch

path = Path(__file__).resolve().parent.parent / "laimbench_track.py"
spec = importlib.util.spec_from_file_location("laimbench_track", path)
whole = importlib.util.module_from_spec(spec)
spec.loader.exec_module(whole)

SIZES = QUICK_SIZES = [1]
speed_attention, speed_layer_norm, speed_mlp = whole.speed_attention, whole.speed_layer_norm, whole.speed_mlp


def learn_gpt(size: int, seed: int):
    torch.set_num_threads(1)
    yield from whole.learn_with(size, seed, tokens=2**15)
