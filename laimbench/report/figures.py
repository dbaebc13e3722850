"""The figures of one answer, described for ``draw.js``, which draws them.

A figure is a dict: ``x`` and ``y``, each an axis {title, log, labels}; ``series``, a list; ``lines``, a list of marked values.
A series has a ``name`` (in the legend once, however many share it), a ``kind`` and a ``colour`` (a class of ``page.css``):

    curves  x, y: lists of lists; run: an id each; faint, dash, marks
    points  x, y: lists; run: an id each, or label: a text each; xlo, xhi or ylo, yhi: intervals; mark: ring, cross, dot, diamond
    band    x, lo, hi: lists

A line is {"y": value or [low, high], "label": text} or the same with x. An axis with labels is one of categories, numbered from 0.
"""

from collections import defaultdict
from typing import Any

import numpy as np

from laimbench.report.answer import Answer, Pair
from laimbench.report.markup import clipped
from laimbench.store import MetricRow, RunRow

Metrics = dict[int, list[MetricRow]]
Described = dict[str, Any]
CURVE_POINTS = 40_000  # of all runs of a page together, so that its size has a limit
SIDES = ("stock", "laim")
ISOFLOP_LEVELS = 6


def side(backend: str) -> str:
    return "laim" if backend.startswith("laim") else "stock"


def thinned(metrics: Metrics) -> Metrics:
    """Return at most ``CURVE_POINTS`` evaluations of all runs, evenly spread over each, its first and last kept."""
    most = max(6, min(200, CURVE_POINTS // max(1, len(metrics))))
    return {
        run: rows
        if len(rows) <= most
        else [rows[i] for i in np.linspace(0, len(rows) - 1, most).round().astype(int).tolist()]
        for run, rows in metrics.items()
    }


def loss_against_compute(one: Answer, metrics: Metrics) -> Described:
    """Every run's validation loss over compute, final points strong, with the fitted law and its band."""
    series = []
    for name in SIDES:
        runs = _runs(one, name)
        series.append(_curves(f"{name}, on the way", name, runs, metrics, "flops") | {"faint": True})
    if one.law and one.law_compute:
        compute = np.geomspace(*one.law_compute, 60)
        if len(one.law.samples):
            low, high = one.law.band(compute)
            # A law that few runs support has a band a hundred times as high as the losses, beside which these would be a flat line.
            losses = [run.final_val_loss for pair in one.pairs for run in (pair.ours, pair.stock)]
            span = max(1.1, max(losses) / min(losses))
            shown_low, shown_high = np.maximum(low, min(losses) / span), np.minimum(high, max(losses) * span)
            cut = "" if np.array_equal((low, high), (shown_low, shown_high)) else ", cut to the figure"
            series.append({"kind": "band", "name": f"95 % band of the law{cut}", "colour": "law",
                           "x": rounded(compute), "lo": rounded(shown_low), "hi": rounded(shown_high)})  # fmt: skip
        p = one.law.params
        series.append({"kind": "curves", "name": f"L = {p['E']:.2f} + {p['a']:.3g} C^-{p['b']:.3f}", "colour": "law",
                       "dash": True, "x": [rounded(compute)], "y": [rounded(one.law.predict(compute))]})  # fmt: skip
    for name, mark in (("stock", "ring"), ("laim", "cross")):
        runs = _runs(one, name)
        series.append(_points(f"{name}, end of run", name, mark, [r.flops for r in runs], [r.final_val_loss for r in runs], runs))  # fmt: skip
    return {"x": {"title": "training compute, FLOPs", "log": True},
            "y": {"title": "validation loss, nats", "log": True}, "series": series}  # fmt: skip


def isoflop(one: Answer, metrics: Metrics) -> Described | None:
    """Loss over parameters at equal compute, read off the runs' curves; None where fewer than two levels have three sizes.

    At each level and size the run with the fewest tokens that got so far is read: its schedule has the least left to go.
    """
    by_size: dict[int, list[RunRow]] = defaultdict(list)
    for pair in one.pairs:
        by_size[pair.ours.params] += [pair.ours, pair.stock]
    ends = [run.flops for runs in by_size.values() for run in runs]
    series = []
    for level, compute in enumerate(np.geomspace(min(ends), max(ends), ISOFLOP_LEVELS)):
        found = [(params, loss) for params in sorted(by_size)
                 if (loss := _loss_at(compute, by_size[params], metrics)) is not None]  # fmt: skip
        if len(found) < 3:
            continue
        params, losses = zip(*found, strict=True)
        series.append({"kind": "curves", "name": f"{powers(compute)} FLOPs", "colour": f"level{level}", "marks": True,
                       "x": [list(params)], "y": [rounded(losses)]})  # fmt: skip
    if len(series) < 2:
        return None
    return {"x": {"title": "parameters", "log": True}, "y": {"title": "validation loss, nats", "log": True}, "series": series}  # fmt: skip


def _loss_at(compute: float, runs: list[RunRow], metrics: Metrics) -> float | None:
    """Return the mean loss at this compute, straight in log C between evaluations, of the runs with the fewest tokens."""
    reached = [run for run in runs if run.flops >= compute * (1 - 1e-9)]
    losses = []
    for run in reached:
        rows = [row for row in metrics[run.id] if row.flops > 0 and row.val_loss is not None]
        if run.tokens == min(r.tokens for r in reached) and rows and rows[0].flops <= compute:
            flops, loss = [row.flops for row in rows], [row.val_loss for row in rows]
            losses.append(np.interp(np.log(compute), np.log(flops), loss))
    return float(np.mean(losses)) if losses else None


def loss_against_time(one: Answer, metrics: Metrics) -> Described:
    """The same losses over seconds spent in training steps: where a speed-up shows."""
    longest: dict[str, int] = {}
    for pair in one.pairs:
        longest[pair.ours.size] = max(pair.ours.tokens, longest.get(pair.ours.size, 0))
    series = []
    for name in SIDES:  # the longest budget of each size: shorter ones lie on top
        runs = [run for run in _runs(one, name) if run.tokens == longest[run.size]]
        series.append(_curves(name, name, runs, metrics, "train_s") | {"marks": True})
    return {"x": {"title": "seconds in training steps", "log": True}, "y": {"title": "validation loss, nats"}, "series": series}  # fmt: skip


def paired_curves(one: Answer, metrics: Metrics) -> Described:
    """Loss curves of paired runs on top of each other."""
    series = [_curves(name, name, _runs(one, name), metrics, "tokens") for name in SIDES]
    series[0]["broad"] = True
    return {"x": {"title": "training tokens", "log": True}, "y": {"title": "validation loss, nats"}, "series": series}


def paired_differences(one: Answer, metrics: Metrics) -> Described:
    """The difference of paired runs' losses at equal tokens, against the spread over seeds."""
    tokens, differences, runs = [], [], []
    for pair in one.pairs:
        stock = {row.tokens: row.val_loss for row in metrics[pair.stock.id] if row.val_loss is not None}
        common = [row for row in metrics[pair.ours.id]
                  if row.tokens > 0 and row.val_loss is not None and row.tokens in stock]  # fmt: skip
        if common:
            tokens.append([row.tokens for row in common])
            differences.append(rounded([row.val_loss - stock[row.tokens] for row in common]))
            runs.append(pair.ours.id)
    lines = [{"y": 0.0, "label": ""}]
    if one.seed_spread is not None:
        lines.append({"y": [-one.seed_spread, one.seed_spread], "label": "± one seed standard deviation"})
    series = {"kind": "curves", "name": "laim - stock", "colour": "laim", "marks": True, "x": tokens, "y": differences, "run": runs}  # fmt: skip
    return {"x": {"title": "training tokens", "log": True}, "y": {"title": "loss difference, nats"}, "series": [series], "lines": lines}  # fmt: skip


def speed_up_of_pairs(pairs: list[Pair]) -> Described:
    """Each pair's ratio of training times, by size."""
    sizes = list(dict.fromkeys(p.ours.size for p in sorted(pairs, key=lambda p: p.ours.params)))
    series = []
    for name, colour, mark, chosen in (
        ("laim faster", "laim", "dot", [p for p in pairs if p.speed_ratio >= 1]),
        ("laim slower", "slower", "diamond", [p for p in pairs if p.speed_ratio < 1]),
    ):
        if chosen:
            x = [sizes.index(p.ours.size) for p in chosen]
            series.append(_points(name, colour, mark, x, [p.speed_ratio for p in chosen], [p.ours for p in chosen]))
    return {"x": {"title": "model size", "labels": [clipped(size, 80) for size in sizes]},
            "y": {"title": "time: stock / laim"}, "series": series, "lines": [{"y": 1.0, "label": "equally fast"}]}  # fmt: skip


def _runs(one: Answer, name: str) -> list[RunRow]:
    return [pair.stock if name == "stock" else pair.ours for pair in one.pairs]


def _curves(name: str, colour: str, runs: list[RunRow], metrics: Metrics, over: str) -> Described:
    found = {"kind": "curves", "name": name, "colour": colour, "x": [], "y": [], "run": []}
    for run in runs:
        rows = [row for row in metrics[run.id] if getattr(row, over) > 0 and row.val_loss is not None]
        if rows:
            found["x"].append(rounded([getattr(row, over) for row in rows]))
            found["y"].append(rounded([row.val_loss for row in rows]))
            found["run"].append(run.id)
    return found


def _points(name: str, colour: str, mark: str, x: list, y: list, runs: list[RunRow]) -> Described:
    return {"kind": "points", "name": name, "colour": colour, "mark": mark, "x": rounded(x), "y": rounded(y), "run": [run.id for run in runs]}  # fmt: skip


def powers(value: float) -> str:
    """Return a number with two digits as people write it: 1.2×10¹²."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def rounded(values: Any) -> list[float]:
    """Return the numbers with seven digits: more than a picture shows, and half the bytes."""
    return [value if isinstance(value, int) else float(f"{value:.7g}") for value in np.asarray(values).tolist()]
