"""Cost and energy of the pairs: an estimate from seconds in training steps, named as one, with factors that the reader may change."""

from laimbench.report.answer import Answer
from laimbench.report.figures import SIDES, Described, rounded
from laimbench.report.markup import data, figure, figures, section, table
from laimbench.responsible.energy import GRID_G_PER_KWH, GRID_SOURCE, WATTS_PER_CORE, estimate
from laimbench.store import RunRow


def costs_section(one: Answer) -> str:
    """Return the section as HTML; the page's script recomputes its table from other factors."""
    title = f"Cost and energy: {one.family}, {one.arithmetic}"
    if one.device:
        return section(
            title, "<p>No estimate: its watts per core are those of processors, and these runs were on a GPU.</p>"
        )
    sides = {"laim": [pair.ours for pair in one.pairs], "stock": [pair.stock for pair in one.pairs]}
    core_seconds = {name: sum(run.train_s * run.machine["threads"] for run in runs) for name, runs in sides.items()}
    rows = []
    for name in SIDES:
        use = estimate(core_seconds[name], sum(run.train_s for run in sides[name]))
        rows.append([name, f"{core_seconds[name] / 3600:.4g}", f"{use.kwh:.4g}", f"{use.co2_g:.4g}"])
    text = (
        "An estimate, not a measurement: seconds in training steps × threads × watts per core; CO2 by the grid's factor, which is "
        f"the {GRID_SOURCE} ({GRID_G_PER_KWH:g} g/kWh; grids range from under 50 to over 700). Memory, cooling and idle devices are "
        "not in it."
    )
    kind = f"{one.family}-{one.arithmetic}"
    embedded = {"core_seconds": core_seconds, "watts_per_core": WATTS_PER_CORE, "grid_g_per_kwh": GRID_G_PER_KWH}
    header = ["side", "core hours", "kWh", "g CO2"]
    totals = table(header, rows, text_columns=1, caption=f"All {len(one.pairs)} pairs together (estimate)")
    return section(
        title,
        f"<p>{text}</p>{totals}{data('costs', f'costs-{kind}', embedded)}"
        + figures(
            figure(f"energy-{kind}", "Energy per token (estimate)", energy_per_token(sides),
                   f"At {WATTS_PER_CORE:g} W per core. The same work in less time is less energy: laim lies lower where it is faster.", wide=True)
        ),
    )  # fmt: skip


def energy_per_token(sides: dict[str, list[RunRow]]) -> Described:
    """Millijoules per training token over parameters, of every run."""
    series = []
    for name, mark in (("stock", "ring"), ("laim", "cross")):
        runs = sides[name]
        joules = [estimate(run.train_s * run.machine["threads"], run.train_s).joules for run in runs]
        series.append({"kind": "points", "name": name, "colour": name, "mark": mark, "x": [run.params for run in runs],
                       "y": rounded([1e3 * j / run.tokens for j, run in zip(joules, runs, strict=True)]),
                       "run": [run.id for run in runs]})  # fmt: skip
    return {"x": {"title": "parameters", "log": True}, "y": {"title": "mJ per token", "log": True}, "series": series}
