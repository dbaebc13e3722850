"""Build backend: scikit-build-core, plus torch's headers from where they are.

The extension compiles against LibTorch's stable ABI, so any torch >= 2.11 gives the right headers.
Naming torch under ``build-system.requires`` would make pip fetch a second one, with gigabytes of CUDA
libraries, into every isolated build. So it is asked for only where the target environment lacks it;
CMake finds the one there through ``sysconfig``, which build isolation does not hide.
"""

import sysconfig
from pathlib import Path

from scikit_build_core import build as _core
from scikit_build_core.build import *  # noqa: F403


def _torch_if_missing():
    roots = {sysconfig.get_paths()[key] for key in ("purelib", "platlib")}
    header = Path("torch/include/torch/csrc/stable/library.h")
    return [] if any((Path(root) / header).exists() for root in roots) else ["torch>=2.11"]


def get_requires_for_build_wheel(config_settings=None):
    return [*_core.get_requires_for_build_wheel(config_settings), *_torch_if_missing()]


def get_requires_for_build_editable(config_settings=None):
    return [*_core.get_requires_for_build_editable(config_settings), *_torch_if_missing()]
