"""Planted bugs in the CUDA kernels: does the shim, which runs them on a CPU, find them?

Run by ``make study-planted-cuda`` (QUICK=1: three plants). Each plant replaces a few words of one kernel's source in a copy of it
(``planted_cuda_bugs.py``); the kernel's test is compiled against that and run. Caught is a test that fails and names the place: file, line and thread
where the shim saw it, or the wrong element and its shape. Needs a C++ compiler, no nvcc and no GPU. Not yet run on a GPU.
"""

import os
import re
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from planted_cuda_bugs import PLANTS, QUICK, Plant
from study_result import command_line, save

from laimbench.cores import usable_cores

CSRC = Path(__file__).resolve().parent.parent / "csrc"
COMPILER = os.environ.get("CXX", "c++")
FLAGS = ["-std=c++17", "-O0", "-ffp-contract=off"]  # compiling takes longer than running
SHIM = ("fiber", "mbarrier", "shadow", "shim", "wgmma")
SECONDS = 300  # a kernel that never ends is killed, and counts as an escape
KINDS = ("race", "uninitialised read", "out of bounds", "misaligned", "has not been waited for", "still on its way",
         "ends before", "deadlock", "barrier divergence", "divergence", "more than", "fence", "swizzle")  # fmt: skip
PLACE = re.compile(r"csrc/cuda/[\w/]+\.cuh:\d+|off by .* at element \d+|(lse|row) \d+ is")


def compile_with(plant: Plant | None, folder: Path, shim: list[str], test: str) -> Path:
    """Return the test's executable, compiled from the sources with the plant in them."""
    include = []
    if plant is not None:
        source = (CSRC / plant.file).read_text()
        if source.count(plant.right) != 1:
            raise SystemExit(
                f"{plant.name}: '{plant.right}' stands {source.count(plant.right)} times in csrc/{plant.file}, expected once"
            )
        copy = folder / "csrc" / plant.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(source.replace(plant.right, plant.wrong))
        include = [f"-I{folder / 'csrc'}"]
    program = folder / test
    subprocess.run(
        [COMPILER, *FLAGS, *include, f"-I{CSRC}", str(CSRC / f"tests/cuda/{test}_test.cpp"), *shim, "-o", str(program)],
        check=True,
    )
    return program


def run(program: Path) -> tuple[bool, str]:
    """Return whether the test passed, and its first complaint, at which it is ended."""
    with subprocess.Popen([str(program)], stdout=subprocess.PIPE, text=True) as test:
        timer = threading.Timer(SECONDS, test.kill)
        timer.start()
        complaint = next((line.strip() for line in test.stdout if line.startswith("FAILED")), None)
        if complaint:
            test.kill()
        status = test.wait()
        timer.cancel()
    return status == 0, complaint or f"exit status {status}"


def judge(plant: Plant, folder: Path, shim: list[str]) -> dict:
    started = time.perf_counter()
    folder.mkdir()
    passed, message = run(compile_with(plant, folder, shim, plant.test))
    kind = next((kind for kind in KINDS if kind in message), "wrong values")
    line = (CSRC / plant.file).read_text().split(plant.right)[0].count("\n") + 1
    caught = not passed and PLACE.search(message) is not None  # a crash or a kernel that never ends names no place
    print(f"{'caught ' if caught else 'ESCAPED'} {plant.name}: {message[:160]}", flush=True)
    return {
        "name": plant.name, "place": f"csrc/{plant.file}:{line}", "test": plant.test, "caught": caught,
        "as": kind if caught else None, "message": message if caught else (plant.why_it_escapes or message),
        "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip


def study(quick: bool) -> dict:
    plants = [plant for plant in PLANTS if not quick or plant.name in QUICK]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shim = [str(folder / f"{name}.o") for name in SHIM]
        for name, made in zip(SHIM, shim, strict=True):
            subprocess.run(
                [COMPILER, "-std=c++17", "-O2", f"-I{CSRC}", "-c", str(CSRC / f"cuda/shim/{name}.cpp"), "-o", made],
                check=True,
            )
        with ThreadPoolExecutor(len(usable_cores())) as pool:
            rows = list(pool.map(lambda plant: judge(plant, folder / plant.name, shim), plants))
    caught = sum(row["caught"] for row in rows)
    kinds = sorted({row["as"] for row in rows if row["caught"]})
    return {
        "planted": len(rows), "caught": caught,
        "caught_as": {kind: sum(row["as"] == kind for row in rows) for kind in kinds},
        "escaped": [row["name"] for row in rows if not row["caught"]],
        "plants": rows,
    }  # fmt: skip


if __name__ == "__main__":
    arguments = command_line(__doc__).parse_args()
    result = study(arguments.quick)
    print(
        f"{result['caught']} of {result['planted']} planted bugs caught; escaped: {', '.join(result['escaped']) or 'none'}"
    )
    save("planted-cuda", result, None, arguments.quick)
    unexpected = [
        name for name in result["escaped"] if not next(plant for plant in PLANTS if plant.name == name).why_it_escapes
    ]
    if unexpected:
        raise SystemExit(f"escaped and not known to: {', '.join(unexpected)}")
