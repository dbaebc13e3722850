"""Models, each defined once for all backends."""

from laimbench.models.backends import BACKENDS, get_ops, prepare
from laimbench.models.gpt import GPT, GPTConfig
from laimbench.models.simple import SimpleModel

__all__ = ["BACKENDS", "GPT", "GPTConfig", "SimpleModel", "get_ops", "prepare"]
