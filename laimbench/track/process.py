"""Talk to a worker: a process of one side, started afresh for every round, because where code and data lie differs between
processes and with it the speed of the same code (Mytkowicz et al. 2009, "Producing wrong data without doing anything obviously wrong!").
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laimbench.bench.allocator import LARGEST_IN_HEAP
from laimbench.cores import keep_on
from laimbench.errors import RunError

WORKER = Path(__file__).with_name("worker.py")
# What glibc gives back to the kernel and asks for again depends on the order of a process's first allocations: the same norm took 1.3 ms
# in one process and, with 370 page faults a call, 2.4 ms in the next. So it keeps what it has, in
# huge pages where the kernel has them (glibc 2.35 on): which small pages a process gets scattered a norm's time by 6 % between processes,
# huge ones by 3 %.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(LARGEST_IN_HEAP), "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
             "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # fmt: skip


@dataclass(frozen=True)
class Side:
    """A build to compare. folder: where the built package lies, put first on the worker's import path."""

    label: str
    folder: Path


def relocate_code(side: Side) -> None:
    """Drop a build's compiled code from the page cache (on Linux), so that the next process reads it into other memory.

    Every process of a build maps the same physical pages, and where they lie made one copy of the same library 2 % faster than the next,
    in round after round. Pages that a running process has mapped stay.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    for library in side.folder.rglob("*.so"):
        file = os.open(library, os.O_RDONLY)
        try:
            os.fsync(file)  # only what is on disk can be dropped
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)


class Process:
    """A running worker of one side; use it as a context manager.

    Raises:
        RunError: (from every method) the suite or the package failed; the message names the side and the exception.
    """

    def __init__(self, side: Side, suite: Path, threads: int):
        self.side = side
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        others = [str(Path(entry).resolve()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        path = os.pathsep.join([str(side.folder.resolve()), *others])
        environment = {**ALLOCATOR, **os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": "0",
                       "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
        self._process = subprocess.Popen(
            # -P: or the folder of the worker would hide modules of the same names.
            [sys.executable, "-P", str(WORKER), str(suite.resolve())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            text=True, encoding="utf-8", env=environment, cwd=side.folder,
        )  # fmt: skip
        self._started = False

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def wait(self) -> None:
        """Return once the suite is imported; two workers started one after the other import side by side."""
        if not self._started:
            self._started = True
            list(self._answers())

    def pin(self, core: int) -> None:
        """Keep the main thread on one core (on Linux)."""
        keep_on(core, self._process.pid)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request that has one answer, and return it."""
        return next(iter(self.stream(do, **arguments)))

    def stream(self, do: str, **arguments: Any) -> list[dict[str, Any]]:
        """Send a request and return all its answers."""
        self.send(do, **arguments)
        return self.receive()

    def send(self, do: str, **arguments: Any) -> None:
        self.wait()
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._failure("it ended") from None

    def receive(self) -> list[dict[str, Any]]:
        return list(self._answers())

    def _answers(self) -> Iterator[dict[str, Any]]:
        while True:
            line = self._process.stdout.readline()
            if not line:
                code = self._process.wait()
                raise self._failure(f"the process ended with code {code}")
            message = json.loads(line)
            if "error" in message:
                raise self._failure(message["error"])
            if "done" in message:
                return
            yield message

    def _failure(self, what: str) -> RunError:
        self._errors.seek(0)
        printed = self._errors.read()[-4000:].decode(errors="replace").strip().splitlines()
        last = f" ({printed[-1].strip()})" if printed and printed[-1].strip() not in what else ""
        return RunError(f"{self.side.label}: {what}{last}")
