"""The report's section on evaluated checkpoints, from the store's "evaluation" documents; all text is escaped."""

from html import escape
from typing import Any

from laimbench.report.markup import details, table

DOCUMENT_KIND = "evaluation"


def evaluation_section(documents: list[dict[str, Any]]) -> str:
    """Return the section as HTML; '' where there is no document. Of one checkpoint on one source the newest counts.

    Args:
        documents: of the store, newest last.
    """
    newest = {(one["sha256"], one["data"], one["config"]["backend"]): one for one in documents}
    if not newest:
        return ""
    rows, parts = [], []
    for one in newest.values():
        about = [one["checkpoint"], one["config"]["family"], one["data"], one["config"]["backend"]]
        compared = [found for comparison in one["comparisons"] for found in comparison["figures"]]
        rows += [
            [*about, found["name"], f"{found['value']:.4f}", interval_text(found)]
            for found in one["figures"] + compared
        ]
        if "per_class" in one["details"]:
            parts.append(details(f"By class: {one['checkpoint']}", _by_class(one["details"]["per_class"])))
    header = ["checkpoint", "family", "data", "backend", "figure", "value", "95 %"]
    text = "Held-out data; intervals by bootstrap over documents, windows or items, whichever are independent (docs/evaluating.md)."
    return "\n".join(
        ["<h2>Evaluated models</h2>", f"<p>{escape(text)}</p>", table(header, rows, text_columns=5), *parts]
    )


def interval_text(found: dict[str, Any]) -> str:
    """Return a figure's interval as text, '' where it has none."""
    return f"{found['lower']:.4f} to {found['upper']:.4f}" if "lower" in found else ""


def _by_class(rows: list[dict[str, Any]]) -> str:
    number = lambda value: "" if value is None else f"{value:.4f}"  # noqa: E731
    cells = [[r["class"], str(r["items"]), *(number(r[key]) for key in ("precision", "recall", "f1"))] for r in rows]
    return table(["class", "items", "precision", "recall", "F1"], cells, text_columns=1)
