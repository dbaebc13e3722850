"""The report's section on compared commits, from the store's "track" documents; all text is escaped."""

from html import escape
from typing import Any

from laimbench.report.commits import CommitCurves, commits_figure, mean_curve
from laimbench.report.markup import clipped, details, figures, section, table
from laimbench.track.verdict import LEARNING, SPEED

DOCUMENT_KIND = "track"
SHOWN = 20  # comparisons, the newest


def track_section(documents: list[dict[str, Any]]) -> str:
    """Return the section as HTML; '' where there is no document.

    Args:
        documents: of the store, newest last.
    """
    if not documents:
        return ""
    newest = documents[: -SHOWN - 1 : -1]
    parts = [f"<p>{escape(clipped(newest[0]['verdict']['sentence'], 1000))}</p>", *_tables(newest[0])]
    drawn = commits_figure("compared-commits", _curves(documents[-SHOWN:]),
                           "Final losses of the suites' ladders, mean over seeds. The chosen commit is drawn strong, on top of all others: where "
                           "only one curve is seen, they learn the same.")  # fmt: skip
    if drawn:
        parts.append(figures(drawn))
    rows = [
        [one["machine"]["time"], one["a"], one["b"], one["verdict"]["speed"], one["verdict"]["learning"]]
        for one in newest
    ]
    if len(rows) > 1:
        header = ["when", "A", "B", "speed of B", "learning of B"]
        shown = table(header, [[clipped(str(cell), 80) for cell in row] for row in rows], text_columns=5)
        parts.append(details(f"The last {len(rows)} comparisons", shown))
    return section("Compared commits", "\n".join(parts))


def _tables(one: dict[str, Any]) -> list[str]:
    a, b = one["a"], one["b"]
    titles = {
        "speed": (SPEED, f"Time of {b} over time of {a}"),
        "learning": (LEARNING, f"Loss of {b} less loss of {a}"),
    }
    return [
        table(list(columns), [[clipped(cell, 120) for cell in row] for row in one["tables"][kind]], 1, clipped(caption))
        for kind, (columns, caption) in titles.items()
        if one["tables"][kind]
    ]


def _curves(documents: list[dict[str, Any]]) -> list[CommitCurves]:
    """Each commit's curve of every ladder, from the newest comparison that has it."""
    found: dict[str, CommitCurves] = {}
    for one in documents:
        for side, label in enumerate((one["a"], one["b"])):
            curves = []
            for ladder in one["learning"]:
                points = [(run["flops"][side], run["loss"][side]) for run in ladder["runs"]]
                if points := [point for point in points if point[0] is not None]:
                    curves.append(mean_curve(points))
            found.pop(label, None)
            found[label] = CommitCurves(label, label, curves)
    return list(found.values())
