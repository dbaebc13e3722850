"""``laimbench bench``: kernels and training steps, laim against stock."""

import importlib.util
import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.stores import store_option
from laimbench.errors import InputError
from laimbench.store_address import StoreAddress


def bench(
    suite: Annotated[str, typer.Option(help="quick, cpu, cuda or full.")] = "quick",
    ops: Annotated[str, typer.Option(help="Ops to take, comma separated; step: training steps. Default: all.")] = "",
    dtypes: Annotated[str, typer.Option(help="fp32, bf16, fp16 (on cuda), comma separated.")] = "fp32,bf16",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="Of torch; 0: as it is.")] = 0,
    compile: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Also time stock under torch.compile.")
    ] = True,
    own: Annotated[
        Path | None, typer.Option(help="A Python file of yours with functions named as ops: compared as `own`.")
    ] = None,
    pytest: Annotated[
        Path | None,
        typer.Option(
            help="Take the times of this file, saved by `pytest benchmarks/kernels --benchmark-json`; measure none."
        ),
    ] = None,
    store: Annotated[StoreAddress | None, store_option("Also keep the result in this store, for the report")] = None,
    json: JsonOption = None,
) -> None:
    """Compare ops and whole training steps with stock eager and torch.compile, interleaved in one run."""
    import torch

    from laimbench.bench import bench as run_bench
    from laimbench.bench.kernels import GPU_DTYPES, OPS, SUITES
    from laimbench.bench.pytest_results import read_pytest_results
    from laimbench.store import Store
    from laimbench.train.config import DEVICES
    from laimbench.train.device import require_here

    if suite not in SUITES:
        raise InputError(f"--suite is {suite!r}, expected one of {', '.join(SUITES)}")
    only = _choices(ops, "--ops", (*OPS, "step"))
    kinds = _choices(dtypes, "--dtypes", tuple(GPU_DTYPES))
    if device not in DEVICES:
        raise InputError(f"--device is {device!r}, expected one of {', '.join(DEVICES)}")
    require_here("" if device == "cpu" else device)
    if device == "cpu" and "fp16" in kinds:
        raise InputError("--dtypes has 'fp16', which the kernels have on cuda only")
    functions = load_own(own, OPS) if own else {}
    if threads:
        torch.set_num_threads(threads)
    console = console_for(json)
    if pytest is not None:
        document = read_pytest_results(pytest)
    else:
        document = run_bench(suite, only=only or tuple(functions), dtypes=kinds, device=device, with_compile=compile, own=functions,
                             report=lambda row: console.print(line(row)))  # fmt: skip
    console.print(table_of(document))
    losing = [row for row in document["rows"] if row["speedup"] < 1]
    console.print(f"laim is slower than the best stock side in {len(losing)} of {len(document['rows'])} rows")
    if disturbed := [row for row in document["rows"] if row["busy"]]:
        console.print(
            f"{len(disturbed)} of {len(document['rows'])} rows, marked busy, were timed while other processes used the cores: "
            "their ratios say little, whatever the interval; repeat on a quiet machine"
        )
    if store is not None:
        with Store(store) as opened:
            opened.save_document("bench", json_module.loads(json_module.dumps(document)))
    emit_json(document, json)
    wrong = [row for row in document["rows"] if row.get("own_right") is False]
    if wrong:
        first = wrong[0]
        where = f"{first['op']} on {first['shape']} {first['dtype']} {first['direction']}"
        raise InputError(f"--own {own}: wrong in {len(wrong)} rows, first {where}: {first['own_error']}")


def line(row: dict[str, Any]) -> str:
    """One finished row as a line of progress."""
    text = (
        f"{row['op']:21} {row['shape']:28} {row['dtype']} {row['direction']:16} "
        f"x{row['speedup']:.2f} [{row['speedup_lo']:.2f}, {row['speedup_hi']:.2f}] against {row['best_stock']}"
    )
    if row["busy"]:
        text += f" (busy: others used {row['other_cores']:.1f} cores)"
    if "own_right" in row:
        text += f"; own x{row['own_speedup']:.2f}" if row["own_right"] else f"; own WRONG, {row['own_error']}"
    return text


def table_of(document: dict[str, Any]) -> Table:
    sides = list(dict.fromkeys(name for row in document["rows"] for name in row["seconds"]))
    peaks = ", ".join(f"{dtype} {peak:.0f} GFLOP/s" for dtype, peak in document["peak_gflops"].items())
    machine = document["machine"]
    table = Table(
        title=f"milliseconds (median); speed-up = best stock / laim\n{machine['machine']}, {machine['isa']}, "
        f"{machine['threads']} threads, torch {machine['torch']}; matmul peak here: {peaks}"
    )
    for column in ("op", "shape", "dtype", "direction", *sides, "speed-up", "95 %", "peak", "bound by"):
        table.add_column(
            column, justify="left" if column in ("op", "shape", "dtype", "direction") else "right", no_wrap=True
        )
    for row in document["rows"]:
        times = [f"{1e3 * row['seconds'][side][0]:.2f}" if side in row["seconds"] else "" for side in sides]
        own = (
            f" own x{row['own_speedup']:.2f}"
            if "own_speedup" in row
            else " own WRONG"
            if row.get("own_right") is False
            else ""
        )
        slower = " slower" if row["speedup"] < 1 else ""
        busy = " busy" if row["busy"] else ""
        table.add_row(row["op"], row["shape"], row["dtype"], row["direction"], *times,
                      f"x{row['speedup']:.2f}{slower}{busy}{own}", f"{row['speedup_lo']:.2f}-{row['speedup_hi']:.2f}",
                      f"{row['percent_of_peak']:.0f} %", row.get("bound", ""), style="red" if row["speedup"] < 1 else None)  # fmt: skip
    return table


def load_own(path: Path, ops: tuple[str, ...]) -> dict[str, Any]:
    """Run the user's own Python file, named on the command line, and take the functions named as ops."""
    if not path.is_file():
        raise InputError(f"--own {path}: no such file")
    spec = importlib.util.spec_from_file_location("laimbench_own", path)
    if spec is None or spec.loader is None:
        raise InputError(f"--own {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"--own {path}: cannot be loaded ({type(error).__name__}: {error})") from error
    found = {name: getattr(module, name) for name in ops if callable(getattr(module, name, None))}
    if not found:
        raise InputError(f"--own {path}: no function named as an op, expected one of {', '.join(ops)}")
    return found


def _choices(text: str, option: str, known: tuple[str, ...]) -> tuple[str, ...]:
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in chosen:
        if part not in known:
            raise InputError(f"{option} has {part!r}, expected some of {', '.join(known)}")
    return chosen
