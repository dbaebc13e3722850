"""Compile gate of the CUDA kernels: no GPU, only nvcc.

    python scripts/cuda_gate.py [--update] [--arch 80]

Compiles every csrc/cuda/sm80/*.cu, and csrc/cuda/sm90/*.cu for sm_90a, without a warning, compares what ptxas says about each kernel (registers, spills, stack) with the
committed table, and looks into the PTX for the instructions that the kernels are made for. Registers are compared where nvcc is of the table's
release; spills must be 0 in any. Exit status 77 (ctest: skipped): no nvcc of 12.4 or later.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CSRC = Path(__file__).resolve().parent.parent / "csrc"
TABLE = CSRC / "cuda" / "ptxas.json"
FIRST_RELEASE = (12, 4)
SKIPPED = 77
TENSOR_CORES = ("cp.async.cg", "ldmatrix.sync", "mma.sync")
FP32 = ("cp.async.ca", "ld.shared.v4.f32", "fma.rn.f32")
MUST_CONTAIN = {
    "sm80/gemm": TENSOR_CORES + FP32,
    "sm80/attention": TENSOR_CORES + FP32,
    "sm80/attention_backward": TENSOR_CORES + FP32,
    "sm90/attention_backward": (
        "wgmma.mma_async",
        "cp.async.bulk.tensor.4d",
        "mbarrier.try_wait.parity",
        "setmaxnreg.inc",
        "setmaxnreg.dec",
    ),
    "sm90/attention": ("wgmma.mma_async", "cp.async.bulk.tensor.4d", "mbarrier.try_wait.parity"),
    "sm90/gemm": ("wgmma.mma_async", "cp.async.bulk.tensor.2d", "mbarrier.try_wait.parity"),
}
# What ptxas notes where it must serialise wgmmas, or order them itself, for the registers of their sums.
WGMMA_NOTE = re.compile(r"\(C75\d\d\)[^\n]*")
KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def nvcc_release() -> tuple[int, int] | None:
    """Return nvcc's release, None where there is none."""
    if shutil.which("nvcc") is None:
        return None
    said = subprocess.run(["nvcc", "--version"], capture_output=True, text=True).stdout
    found = re.search(r"release (\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


def name_of(source: Path) -> str:
    return f"{source.parent.name}/{source.stem}"


def compile_one(source: Path, arch: str, folder: Path) -> tuple[str, str]:
    """Return what ptxas said and the PTX."""
    folder.mkdir(parents=True)
    command = [
        "nvcc", "-std=c++17", "-gencode", f"arch=compute_{arch},code=sm_{arch}", "-Werror", "all-warnings", "-Xcompiler", "-Wall,-Wextra",
        "-Xptxas", "-v,-warn-spills", "--keep", "--keep-dir", str(folder), f"-I{CSRC}", "-c", str(source), "-o", str(folder / "out.o"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        sys.exit(f"{name_of(source)} does not compile:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr, "".join(path.read_text() for path in folder.glob("*.ptx"))


def demangled(names: list[str]) -> list[str]:
    """Return the names of kernels without their arguments: attention_kernel<AttentionShape<64>, bf16>."""
    plain = subprocess.run(["c++filt", *names], capture_output=True, text=True, check=True).stdout
    plain = plain.replace("> >", ">>").splitlines()
    return [re.sub(r"^void |laim::cuda::|laim::|\(laim::cuda::Side\)", "", name).split(">(")[0] + ">" for name in plain]


def measure(arch: str) -> tuple[dict, list[str]]:
    """Return {kernel: figures} and what is wrong otherwise: missing in the PTX, or noted by ptxas."""
    archs = {source: arch for source in (CSRC / "cuda" / "sm80").glob("*.cu")}
    archs |= {source: "90a" for source in (CSRC / "cuda" / "sm90").glob("*.cu")}
    sources = sorted(archs, key=lambda path: -len(path.read_text()))
    kernels, missing = {}, []
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(os.cpu_count()) as pool:
        made = list(
            pool.map(lambda source: compile_one(source, archs[source], Path(temporary) / name_of(source)), sources)
        )
    for source, (said, ptx) in zip(sources, made, strict=True):
        found = list(KERNEL.finditer(said))
        for name, figures in zip(demangled([match["name"] for match in found]), found, strict=True):
            kernels[name] = {key: int(figures[key]) for key in ("registers", "stack", "stores", "loads")}
        name = name_of(source)
        missing += [f"{name} has no {word}" for word in MUST_CONTAIN.get(name, ()) if word not in ptx]
        missing += [f"{name}: {note}" for note in sorted(set(WGMMA_NOTE.findall(said)))]
    return kernels, missing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write the table instead of comparing with it")
    parser.add_argument("--arch", default="80", help="of csrc/cuda/sm80")
    arguments = parser.parse_args()
    release = nvcc_release()
    if release is None or release < FIRST_RELEASE:
        print(f"skipped: nvcc of {'.'.join(map(str, FIRST_RELEASE))} or later is not here")
        return SKIPPED
    kernels, wrong = measure(arguments.arch)
    wrong += [
        f"{name} spills registers"
        for name, figures in kernels.items()
        if figures["stores"] or figures["loads"] or figures["stack"]
    ]
    written = f"{release[0]}.{release[1]} sm_{arguments.arch}"
    if arguments.update:
        TABLE.write_text(
            json.dumps(
                {"nvcc": written, "registers": {name: kernels[name]["registers"] for name in sorted(kernels)}}, indent=1
            )
            + "\n"
        )
    else:
        table = json.loads(TABLE.read_text())
        if table["nvcc"] == written:
            for name in sorted(kernels.keys() | table["registers"].keys()):
                ours, expected = kernels.get(name, {}).get("registers"), table["registers"].get(name)
                if ours != expected:
                    wrong.append(f"{name}: {ours} registers, the table says {expected} (scripts/cuda_gate.py --update)")
        else:
            print(f"registers are not compared: the table is of {table['nvcc']}, this is {written}")
    print("\n".join(wrong) or f"{len(kernels)} kernels, no warning, no spill; PTX has what it must")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
