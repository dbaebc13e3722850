"""Run a suite and return one document, losing rows included."""

from collections.abc import Callable
from typing import Any

import torch

from laimbench import ops, provenance
from laimbench.bench import kernels, steps
from laimbench.bench.allocator import keep_memory
from laimbench.bench.contention import QUIET_CORES, other_cores, usage
from laimbench.bench.correctness import judge
from laimbench.bench.limits import Limits
from laimbench.bench.timing import clock_of, compare, interleave
from laimbench.models import stock

Report = Callable[[dict[str, Any]], None]


def bench(
    suite: str = "quick",
    *,
    only: tuple[str, ...] = (),
    dtypes: tuple[str, ...] = ("fp32", "bf16"),
    device: str = "cpu",
    with_compile: bool = True,
    own: dict[str, Callable[..., Any]] | None = None,
    budget_s: float = 0.25,
    report: Report = lambda row: None,
) -> dict[str, Any]:
    """Time every case of the suite; call ``report`` with each row as it is done. From then on this process keeps the memory that it frees.

    Args:
        suite: "quick", "full", or what decides how fast Transformers train on a CPU ("cpu") or a GPU ("cuda").
        device: "cpu" or "cuda".
        only: ops to take ("step" for training steps), all when empty.
        with_compile: also time stock under torch.compile.
        own: a user's op functions by name; each is checked for correctness first and, where right, timed as the
            side "own"; where wrong the row says so in ``own_right`` and ``own_error``.
        budget_s: seconds of repetitions per row.

    Each row: seconds per side as [median, low, high], the best stock side, ``speedup`` = best stock / laim (> 1: laim is
    faster) with its interval, of kernels the least ``gbytes`` to move, in the document the shares of what the machine reached in this run (``laimbench.bench.limits``), and ``other_cores``, the cores that other processes used meanwhile (None: not known), and
    ``busy``, whether that is so much that the row's ratio says little.
    """
    keep_memory()
    limits = Limits.measured(dtypes, device)
    rows = []
    for case in kernels.SUITES[suite]:
        if only and case.op not in only:
            continue
        for dtype in dtypes:
            for direction in kernels.DIRECTIONS:
                rows.append(_kernel_row(case, dtype, direction, device, with_compile, own or {}, budget_s))
                report(rows[-1])
    if not only or "step" in only:
        for size in steps.SUITES[suite]:
            for dtype in dtypes:
                if dtype == "fp16":  # in which no run trains
                    continue
                rows.append(_step_row(size, dtype, device, with_compile, budget_s))
                report(rows[-1])
    # Again at the end, the better counts: a moment taken by another process would make every share too large.
    limits = limits.or_better(Limits.measured(dtypes, device))
    rows = [row | limits.shares(row) for row in rows]
    return {"kind": "bench", "suite": suite, "device": device, "machine": provenance.collect(), "peak_gflops": limits.gflops,
            "peak_gbytes_per_s": limits.gbytes_per_s, "call_s": limits.call_s, "rows": rows}  # fmt: skip


def _kernel_row(case, dtype, direction, device, with_compile, own, budget_s) -> dict[str, Any]:
    kind = kernels.GPU_DTYPES[dtype]
    torch.manual_seed(0)
    with torch.device(device):
        inputs = case.make(kind)
    stock_op = getattr(stock, case.op)
    sides = {"laim": getattr(ops, case.op), "torch": stock_op}
    if with_compile:
        torch._dynamo.reset()
        sides["compile"] = torch.compile(stock_op, dynamic=False)
    for name, other in stock.others(case.op, device).items():
        if not _takes(case, other, inputs):
            continue
        sides[name] = other
        if with_compile and name == "as is" and dtype != "fp32":
            sides["compile as is"] = torch.compile(other, dynamic=False)
    verdict = None
    if case.op in own:
        verdict = judge(case, own[case.op], stock_op, kind, direction, device)
        if verdict.right:  # the speed of a wrong kernel is no result
            sides["own"] = own[case.op]
    calls = {name: kernels.bound(case, op, inputs, direction) for name, op in sides.items()}
    row = _row("kernels", case.op, case.shape, dtype, direction, device, case.work(direction), calls, budget_s)
    row["gbytes"] = kernels.gigabytes(case, stock_op, inputs, direction)
    if verdict:
        row["own_right"], row["own_error"] = verdict.right, verdict.detail
    return row


def _takes(case, op, inputs) -> bool:
    """Tell whether one of several ways of an op takes these inputs; SDPA's backends refuse dtypes and shapes that they lack."""
    try:
        kernels.bound(case, op, inputs, "forward")()
    except RuntimeError:
        return False
    return True


def _step_row(size, dtype, device, with_compile, budget_s) -> dict[str, Any]:
    backends = ["laim", "torch", "compile", "laim+compile"] if with_compile else ["laim", "torch"]
    trainers = steps.step_trainers(size, dtype, backends, device)
    first = trainers["laim"]
    calls = {backend: trainer.train_step for backend, trainer in trainers.items()}
    shape = f"{first.config.size} S{first.config.seqlen} B{first.config.batch_size}"
    return _row("steps", "gpt step", shape, dtype, "step", device, first.flops_per_step / 1e9, calls, 4 * budget_s)


def _row(suite, op, shape, dtype, direction, device, gflop, calls, budget_s) -> dict[str, Any]:
    for call in calls.values():
        call()  # torch.compile compiles here, by processes that are none of the others
    before = usage()
    seconds = interleave(calls, budget_s=budget_s * len(calls), clock=clock_of(device))
    others = other_cores(before, usage())
    stock_sides = {name: s for name, s in seconds.items() if name not in ("own", "laim+compile")}
    comparison = compare(stock_sides, "laim")
    row = {
        "suite": suite,
        "op": op,
        "shape": shape,
        "dtype": dtype,
        "direction": direction,
        "gflop": gflop,
        "seconds": {name: list(compare({name: s, "": s}, "").seconds[name]) for name, s in seconds.items()},
        "best_stock": comparison.best,
        "speedup": comparison.speedup,
        "speedup_lo": comparison.speedup_interval[0],
        "speedup_hi": comparison.speedup_interval[1],
        "repetitions": len(seconds["laim"]),
        "other_cores": others,
        "busy": others is not None and others > QUIET_CORES,
    }
    if "own" in seconds:
        own = compare({"laim": seconds["own"], comparison.best: seconds[comparison.best]}, "laim")
        row["own_speedup"], (row["own_speedup_lo"], row["own_speedup_hi"]) = own.speedup, own.speedup_interval
    return row
