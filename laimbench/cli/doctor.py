"""``laimbench doctor``: what this machine and build can do, and what is missing."""

import importlib.metadata
import os
import platform
import shutil
import tempfile

import typer
from rich.table import Table

from laimbench import __version__
from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cores import usable_cores
from laimbench.provenance import cpu_model, gpu_driver

OPTIONAL = {
    "asv": "benchmarks across commits",
    "pytest-benchmark": "benchmarks/kernels",
    "pyarrow": "Parquet in `fit` and `runs export`",
}


def doctor(json: JsonOption = None) -> None:
    """Say what is there and what is missing; exit code 1 when the kernels cannot be used."""
    rows: list[tuple[str, bool, str]] = []  # what, whether it is fine, what was found
    rows.append(("laimbench", True, __version__))
    rows.append(("python", True, platform.python_version()))
    rows.append(
        ("processor", True, f"{cpu_model()}, {os.cpu_count()} cores, {len(usable_cores())} of them for this process")
    )
    usable = check_torch(rows) and check_extension(rows)
    compiler = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    rows.append(("C++ compiler", compiler is not None, compiler or "none: backends `compile` and builds need one"))
    check_cache(rows)
    for name, use in OPTIONAL.items():
        try:
            rows.append((name, True, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, False, f"not installed; for {use}"))

    table = Table(title="laimbench doctor")
    for column in ("", "what", "found"):
        table.add_column(column)
    for what, fine, found in rows:
        table.add_row("ok" if fine else "--", what, found)
    console = console_for(json)
    console.print(table)
    console.print("ready" if usable else "not usable: see the lines marked --")
    emit_json({"usable": usable, "checks": [{"what": w, "ok": ok, "found": f} for w, ok, f in rows]}, json)
    if not usable:
        raise typer.Exit(1)


def check_torch(rows: list) -> bool:
    try:
        import torch
    except ImportError:
        rows.append(("torch", False, "not installed; needs torch >= 2.11"))
        return False
    new_enough = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 11)
    rows.append(("torch", new_enough, torch.__version__ + ("" if new_enough else "; needs torch >= 2.11")))
    rows.append(("threads", True, str(torch.get_num_threads())))
    check_gpus(rows)
    return new_enough


def check_gpus(rows: list) -> None:
    import torch

    if not torch.cuda.is_available():
        why = (
            "this torch is a CPU build"
            if torch.version.cuda is None
            else "nvidia-smi and CUDA_VISIBLE_DEVICES may say why"
        )
        rows.append(("CUDA device", False, f"none, device cpu only: {why}"))
        return
    for number in range(torch.cuda.device_count()):
        of = torch.cuda.get_device_properties(number)
        found = f"{of.name}, {of.total_memory / 2**30:.0f} GiB, sm_{of.major}{of.minor}"
        rows.append((f"CUDA device {number}", True, found))
    rows.append(("CUDA", True, f"{torch.version.cuda}, driver {gpu_driver() or 'unknown'}"))


def check_extension(rows: list) -> bool:
    try:
        from laimbench.ops._extension import build_info

        info = build_info()
    except (ImportError, RuntimeError) as error:
        rows.append(("kernels", False, str(error)))
        return False
    rows.append(("kernels", True, f"built by {info['compiler']} against torch {info['built_with_torch']}"))
    supported = ", ".join(info["isas_supported"])
    rows.append(("instruction set", True, f"{info['isa']} ({info['isa_reason']}; supported: {supported})"))
    rows.append(("CUDA kernels", bool(info["cuda_archs"]), info["cuda_archs"] or "not in this build"))
    return True


def check_cache(rows: list) -> None:
    from laimbench.data.cache import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        rows.append(("cache", True, str(folder)))
    except OSError as error:
        rows.append(("cache", False, f"{folder}: {error.strerror}; set LAIMBENCH_CACHE to a writable folder"))
