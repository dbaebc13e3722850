"""laimbench: do custom kernels train large AI models faster, and do the models still learn the same?

Importing the package is cheap: ``laimbench.laws`` works without torch, ``laimbench.ops`` loads the
compiled kernels on first use.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "build_info", "ops"]


def build_info() -> dict[str, Any]:
    """Return what this build is: version, commit, torch, ISA, CUDA archs, compiler, threads."""
    from laimbench.ops._extension import build_info as extension_build_info

    return {"version": __version__, **extension_build_info()}


def __getattr__(name: str) -> Any:
    if name == "ops":
        return import_module("laimbench.ops")
    raise AttributeError(f"module 'laimbench' has no attribute {name!r}")
