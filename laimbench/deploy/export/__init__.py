"""Trained models in the formats of others, and models of others as checkpoints. Nothing is unpickled."""

from laimbench.deploy.export.compare import Comparison
from laimbench.deploy.export.import_transformers import Imported, import_transformers, read_transformers
from laimbench.deploy.export.onnx import export_onnx
from laimbench.deploy.export.torch_export import export_torch
from laimbench.deploy.export.transformers_folder import export_transformers

__all__ = [
    "Comparison",
    "Imported",
    "export_onnx",
    "export_torch",
    "export_transformers",
    "import_transformers",
    "read_transformers",
]
