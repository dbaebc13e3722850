"""Results of ``pytest benchmarks/kernels`` as a bench document, so that store and report show them as they show ``laimbench bench``."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from laimbench import provenance
from laimbench.errors import InputError
from laimbench.files import ODD_VALUES, read_json

INFO = (
    "op",
    "shape",
    "dtype",
    "direction",
    "side",
    "gflop",
    "peak_gflops",
    "threads",
)  # what each benchmark tells of itself
SIDES = ("laim", "torch")


def read_pytest_results(path: Path) -> dict[str, Any]:
    """Return the document of a file that pytest-benchmark saved.

    Both sides of a row ran after one another and not in turns, so that the interval of their ratio knows the scatter of each but no
    drift between them. It is that of two medians by the notches of McGill, Tukey and Larsen 1978, 1.57 IQR / √n, on the scale of log time.

    Raises:
        InputError: not such a file, or a benchmark of it lacks a side or what INFO names.
    """
    try:
        return _document(path, _benchmarks(path))
    except InputError:
        raise
    except ODD_VALUES as error:
        raise InputError(f"{path}: not results of pytest-benchmark ({error!r})") from None


def _document(path: Path, benchmarks: list[dict[str, Any]]) -> dict[str, Any]:
    groups: dict[tuple, dict[str, dict]] = defaultdict(dict)
    for one in benchmarks:
        info = one.get("extra_info", {})
        if missing := [name for name in INFO if name not in info]:
            raise InputError(f"{path}: {one.get('name', 'a benchmark')} has no {', '.join(missing)} in extra_info, "
                             "expected results of benchmarks/kernels")  # fmt: skip
        groups[tuple(info[name] for name in ("op", "shape", "dtype", "direction"))][info["side"]] = one
    rows = [_row(path, key, sides) for key, sides in groups.items()]
    if not rows:
        raise InputError(f"{path}: holds no benchmarks")
    infos = [one["extra_info"] for sides in groups.values() for one in sides.values()]
    peaks = {dtype: max(info["peak_gflops"] for info in infos if info["dtype"] == dtype)
             for dtype in dict.fromkeys(info["dtype"] for info in infos)}  # fmt: skip
    for row in rows:
        row["percent_of_peak"] = 100 * row["gflop"] / row["seconds"]["laim"][0] / peaks[row["dtype"]]
    machine = provenance.collect() | {"threads": infos[0]["threads"], "command": "pytest benchmarks/kernels"}
    return {"kind": "bench", "suite": "pytest", "machine": machine, "peak_gflops": peaks, "rows": rows}


def _row(path: Path, key: tuple, sides: dict[str, dict]) -> dict[str, Any]:
    if missing := [side for side in SIDES if side not in sides]:
        raise InputError(f"{path}: {' '.join(key)} has no side {', '.join(missing)}, expected both in one session")
    seconds, relative = {}, {}
    for side in SIDES:
        stats = sides[side]["stats"]
        half = 1.57 * stats["iqr"] / math.sqrt(stats["rounds"])
        seconds[side] = [stats["median"], stats["median"] - half, stats["median"] + half]
        relative[side] = half / stats["median"]
    speedup, spread = seconds["torch"][0] / seconds["laim"][0], math.exp(math.hypot(*relative.values()))
    names = ("op", "shape", "dtype", "direction")
    return {"suite": "kernels", **dict(zip(names, key, strict=True)), "gflop": sides["laim"]["extra_info"]["gflop"], "seconds": seconds,
            "best_stock": "torch", "speedup": speedup, "speedup_lo": speedup / spread, "speedup_hi": speedup * spread,
            "repetitions": min(one["stats"]["rounds"] for one in sides.values()), "other_cores": None, "busy": False}  # fmt: skip


def _benchmarks(path: Path) -> list[dict[str, Any]]:
    found = read_json(path, "results of pytest-benchmark")["benchmarks"]
    for one in found:
        stats = one["stats"]
        if not (stats["median"] > 0 and stats["rounds"] >= 1 and stats["iqr"] >= 0):
            raise ValueError(f"times of {one['name']} are not positive")
    return found
