"""Stands in for sbatch, squeue and scancel: the tasks of an array are processes of this machine, noted in a folder.

Installed as three commands by ``install``; ``refuse`` in the folder makes sbatch refuse.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

COMMANDS = ("sbatch", "squeue", "scancel")


def install(folder: Path) -> Path:
    """Make the commands in a folder, to be put on the PATH."""
    for name in COMMANDS:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} {folder} "$@"\n')
        path.chmod(0o755)
    return folder


def option(arguments: list[str], name: str) -> str:
    return next(a.removeprefix(f"--{name}=") for a in arguments if a.startswith(f"--{name}="))


def sbatch(folder: Path, arguments: list[str]) -> None:
    (folder / "asked").open("a").write(" ".join(arguments) + "\n")
    if (folder / "refuse").exists():
        sys.exit("sbatch: error: invalid partition specified: moon")
    array = len(list(folder.glob("array-*"))) + 1
    tasks = int(option(arguments, "array").split("-")[1]) + 1
    pids = []
    for task in range(tasks):
        log = Path(option(arguments, "output").replace("%A", str(array)).replace("%a", str(task)))
        with log.open("a") as output:
            process = subprocess.Popen(["sh", arguments[-1]], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                       start_new_session=True)  # fmt: skip
        pids.append(process.pid)
    (folder / f"array-{array}").write_text(" ".join(map(str, pids)))
    print(array)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def arrays(folder: Path) -> dict[str, list[int]]:
    return {path.name.removeprefix("array-"): [int(pid) for pid in path.read_text().split() if alive(int(pid))]
            for path in folder.glob("array-*")}  # fmt: skip


def squeue(folder: Path, arguments: list[str]) -> None:
    for array, pids in arrays(folder).items():
        print(*[array] * len(pids), sep="\n")


def scancel(folder: Path, arguments: list[str]) -> None:
    for array, pids in arrays(folder).items():
        for pid in pids if array in arguments else []:
            os.kill(pid, signal.SIGTERM)


if __name__ == "__main__":
    {"sbatch": sbatch, "squeue": squeue, "scancel": scancel}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3:])
