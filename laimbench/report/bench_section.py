"""The section on kernels and training steps, from a bench document: roofline, heat map of speed-ups, every row with its interval."""

from typing import Any

from laimbench.report.figures import rounded
from laimbench.report.markup import clipped, details, figure, figures, section, table

Row = dict[str, Any]
MISSING = "No bench result in the store: <code>laimbench bench --store</code> adds one."
SHORT = {"forward+backward": "fwd+bwd"}  # in the heat map's headings
ROOF_POINTS = 40
MARKS = ("dot", "ring", "diamond", "cross", "square", "triangle", "plus")  # of ops; colours are of dtypes


def bench_section(bench: dict[str, Any] | None) -> str:
    """Return the section as HTML, one sentence where there is no document."""
    title = "Kernels and training steps"
    if not bench:
        return section(title, f"<p>{MISSING}</p>")
    kernels = [row for row in bench["rows"] if row["suite"] == "kernels"]
    steps = [row for row in bench["rows"] if row["suite"] == "steps"]
    parts = []
    if kernels:
        roofs = roofline(bench)
        pictures = [figure("heatmap", "Speed-up by op, shape and dtype", heat_map(kernels),
                           "Best stock side over laim: blue, laim is faster; red, slower; a pale cell is a tie.",
                           wide=not roofs)]  # fmt: skip
        if roofs:
            pictures.append(figure("roofline", "Roofline", roofs,
                "laim's kernels against what this machine reached in the same run: a large matrix product (flat roofs) and a large copy "
                "(slope). Intensity counts every input and output once; points above the slope worked from cache."))  # fmt: skip
        parts.append(figures(*pictures))
    for name, rows, heading in (("kernels", kernels, "Every kernel"), ("steps", steps, "Whole training steps")):
        if rows:
            parts.append(figures(figure(f"bench-{name}", heading, speed_ups(rows), _caption(rows), wide=True)))
            parts.append(details(f"Table: {heading.lower()}", _table(rows, heading)))
    return section(title, "\n".join(parts))


def heat_map(rows: list[Row]) -> dict[str, Any]:
    """Speed-ups, a row per op and shape, a column per dtype and direction."""
    lines = list(dict.fromkeys((row["op"], row["shape"]) for row in rows))
    columns = list(dict.fromkeys((row["dtype"], row["direction"]) for row in rows))
    found = {(row["op"], row["shape"], row["dtype"], row["direction"]): row for row in rows}
    cells = [[found.get((*line, *column)) for column in columns] for line in lines]
    return {
        "heat": {
            "rows": [clipped(f"{op} {shape}", 80) for op, shape in lines],
            "columns": [clipped(f"{dtype} {SHORT.get(direction, direction)}", 80) for dtype, direction in columns],
            "values": [[cell and cell["speedup"] for cell in line] for line in cells],
            "labels": [[cell and _label(cell) for cell in line] for line in cells],
            "title": "speed-up",
        }
    }


def roofline(bench: dict[str, Any]) -> dict[str, Any] | None:
    """GFLOP/s over FLOPs per byte, below the roofs measured in the run; None for documents without bytes (of 0.1.0)."""
    rows = [row for row in bench["rows"] if row.get("gbytes")]
    bandwidth = bench.get("peak_gbytes_per_s")
    if not rows or not bandwidth:
        return None
    intensity = [row["gflop"] / row["gbytes"] for row in rows]
    low, high = min(intensity) / 2, max(max(intensity), *(p / bandwidth for p in bench["peak_gflops"].values())) * 2
    x = [low * (high / low) ** (i / (ROOF_POINTS - 1)) for i in range(ROOF_POINTS)]
    series = []
    for i, (dtype, peak) in enumerate(bench["peak_gflops"].items()):
        corner = sorted([*x, peak / bandwidth])
        series.append({"kind": "curves", "name": f"{dtype}: {peak:.0f} GFLOP/s, {bandwidth:.0f} GB/s", "colour": f"series{i}",
                       "x": [rounded(corner)], "y": [rounded([min(peak, bandwidth * at) for at in corner])]})  # fmt: skip
        chosen = [row for row in rows if row["dtype"] == dtype]
        for op, mark in zip(dict.fromkeys(row["op"] for row in rows), MARKS * 9, strict=False):
            of_op = [row for row in chosen if row["op"] == op]
            if of_op:
                series.append({"kind": "points", "name": clipped(op, 80), "colour": f"series{i}", "mark": mark, "neutral": True,
                               "x": rounded([row["gflop"] / row["gbytes"] for row in of_op]),
                               "y": rounded([row["gflop"] / row["seconds"]["laim"][0] for row in of_op]),
                               "label": [_label(row) for row in of_op]})  # fmt: skip
    return {"x": {"title": "intensity, FLOPs per byte", "log": True}, "y": {"title": "GFLOP/s", "log": True}, "series": series}  # fmt: skip


def speed_ups(rows: list[Row]) -> dict[str, Any]:
    """Speed-ups with intervals, one line per row, 1 marked, slower ones in red."""
    series = []
    for name, colour, mark, chosen in (
        ("laim faster", "laim", "dot", [i for i, row in enumerate(rows) if row["speedup"] >= 1]),
        ("laim slower", "slower", "diamond", [i for i, row in enumerate(rows) if row["speedup"] < 1]),
    ):
        if chosen:
            of = lambda key: rounded([rows[i][key] for i in chosen])  # noqa: B023, E731
            series.append({"kind": "points", "name": name, "colour": colour, "mark": mark, "x": of("speedup"), "y": chosen,
                           "xlo": of("speedup_lo"), "xhi": of("speedup_hi"), "label": [_label(rows[i]) for i in chosen]})  # fmt: skip
    labels = [clipped(f"{row['op']} {row['shape']} {row['dtype']} {row['direction']}", 80) for row in rows]
    return {"x": {"title": "speed-up: best stock side / laim"}, "y": {"title": "", "labels": labels}, "series": series,
            "lines": [{"x": 1.0, "label": ""}]}  # fmt: skip


def _label(row: Row) -> str:
    text = (
        f"{row['op']} {row['shape']}, {row['dtype']} {row['direction']}: {row['speedup']:.2f} ({row['speedup_lo']:.2f} to "
        f"{row['speedup_hi']:.2f}) against {row['best_stock']}; {1e3 * row['seconds']['laim'][0]:.3g} ms, "
        f"{row['percent_of_peak']:.0f} % of peak"
    )
    return clipped(text + ("; busy" if row["busy"] else ""))


def _caption(rows: list[Row]) -> str:
    losing, busy = sum(row["speedup"] < 1 for row in rows), sum(row["busy"] for row in rows)
    text = (
        "All sides interleaved in one run; median and 95 % interval of the ratio. laim is slower in "
        f"{losing} of {len(rows)} rows, marked red."
    )
    return text + (
        f" {busy} rows were timed while other processes used the cores (busy): they say little." if busy else ""
    )


def _table(rows: list[Row], caption: str) -> str:
    sides = list(dict.fromkeys(name for row in rows for name in row["seconds"]))
    times = [f"{name}, ms" for name in sides]
    header = ["op", "shape", "dtype", "direction", *times, "best stock", "speed-up", "95 %", "% of peak"]
    cells = [
        [row["op"], row["shape"], row["dtype"], row["direction"],
         *(f"{1e3 * row['seconds'][name][0]:.3f}" if name in row["seconds"] else "" for name in sides),
         row["best_stock"], f"{row['speedup']:.2f}{' busy' if row['busy'] else ''}",
         f"{row['speedup_lo']:.2f} to {row['speedup_hi']:.2f}", f"{row['percent_of_peak']:.0f}"]
        for row in rows
    ]  # fmt: skip
    return table(header, [[clipped(cell) for cell in line] for line in cells], text_columns=4, caption=caption)
