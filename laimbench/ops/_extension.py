"""Load the compiled extension, or say what is wrong in one line."""

from typing import Any

import torch

from laimbench.errors import MissingKernels

try:
    from laimbench import _C
except ImportError as error:
    raise MissingKernels(
        f"laimbench's compiled kernels cannot be loaded ({error}); install the package with `pip install .`, "
        "then run `laimbench doctor`"
    ) from error

BUILD: dict[str, Any] = _C.build_info()


def build_info() -> dict[str, Any]:
    """Return what the extension knows of itself and of torch: compiler, ISAs, threads."""
    return {**BUILD, "torch": torch.__version__, "threads": torch.get_num_threads()}
