"""Models, each defined once for all backends."""

from laimbench.models.audio import AudioConfig, AudioEncoder
from laimbench.models.backends import BACKENDS, get_ops, prepare
from laimbench.models.bert import BERT, BERTConfig
from laimbench.models.gpt import GPT, GPTConfig
from laimbench.models.simple import SimpleModel
from laimbench.models.transformer import Transformer, TransformerConfig
from laimbench.models.vit import ViT, ViTConfig

__all__ = ["BACKENDS", "BERT", "GPT", "AudioConfig", "AudioEncoder", "BERTConfig", "GPTConfig", "SimpleModel", "Transformer",
           "TransformerConfig", "ViT", "ViTConfig", "get_ops", "prepare"]  # fmt: skip
