"""Make sure this environment has a torch that laimbench can use, without bringing CUDA libraries to a machine that asked for none.

Usage: python scripts/ensure_torch.py VERSION

A torch >= 2.11 that is there already is kept. Else pip is asked what it would install for VERSION: when that is a CPU build (no
nvidia packages among its requirements) it is installed; otherwise PyTorch's own index of CPU builds is used.
"""

import json
import subprocess
import sys

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def usable_torch() -> str | None:
    """Return the version of the torch that is here, None when there is none or it is too old."""
    try:
        import torch
    except ImportError:
        return None
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return torch.__version__ if version >= (2, 11) else None


def default_is_cpu_build(requirement: str) -> bool:
    """Ask pip, without installing, whether its default choice drags CUDA in."""
    command = [*PIP, "install", "--dry-run", "--quiet", "--no-deps", "--ignore-installed", "--report", "-", requirement]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        return False
    (chosen,) = json.loads(answer.stdout)["install"]
    needs = chosen["metadata"].get("requires_dist", [])
    return not any(need.startswith(("nvidia", "cuda", "triton")) for need in needs)


def main(version: str) -> int:
    found = usable_torch()
    if found:
        print(f"torch {found} is here")
        return 0
    requirement = f"torch=={version}"
    if not default_is_cpu_build(requirement):
        print(f"installing a CPU build of {requirement} from {CPU_INDEX}")
        chosen = [*PIP, "install", "--quiet", "--no-deps", "--index-url", CPU_INDEX, requirement]
        if subprocess.run(chosen, check=False).returncode != 0:
            print("no CPU build could be had; install any torch >= 2.11 for this Python yourself, then run make again")
            return 1
    print(f"installing {requirement}")
    return subprocess.run([*PIP, "install", "--quiet", requirement], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
