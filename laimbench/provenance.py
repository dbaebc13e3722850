"""Where a figure came from: machine, software, commit, command. Every result file carries this."""

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from laimbench.store_address import StoreAddress


@cache
def cpu_model() -> str:
    """Return the processor's name as the system states it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def has_native_bf16() -> bool:
    """Say whether the processor multiplies bf16 itself; others do it in software, tens of times as slow."""
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))


def memory_bytes() -> int:
    """Return the machine's main memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gpu() -> dict[str, str]:
    """Return name, CUDA version and driver of the GPU that this process uses; nothing where it uses none, which asking would change."""
    import torch

    if not torch.cuda.is_initialized():
        return {}
    found = {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda, "driver": gpu_driver()}
    return {name: value for name, value in found.items() if value}


def gpu_driver(path: Path = Path("/proc/driver/nvidia/version")) -> str:
    """Return the version of NVIDIA's kernel driver; '' where there is none."""
    try:
        found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", path.read_text())
    except OSError:
        return ""
    return found[1] if found else ""


@cache
def source_commit() -> str:
    """Return the commit of the source tree this package is imported from, with "+changes" where it was edited since; '' outside
    a checkout.
    """
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "HEAD") + ("+changes" if changed else "")


def collect() -> dict[str, Any]:
    """Return machine, ISA, threads, torch, commit, command, time and the GPU in use as a flat JSON-able dict."""
    import torch

    import laimbench

    build = laimbench.build_info()
    return {
        "machine": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_bytes() / 2**30, 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "isa": build["isa"],
        "version": build["version"],
        "commit": source_commit() or build["commit"],
        # Results are shown around: the password of a store's URL is not.
        "command": " ".join([Path(sys.argv[0]).name, *(str(StoreAddress.of(argument)) for argument in sys.argv[1:])]),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **gpu(),
    }
