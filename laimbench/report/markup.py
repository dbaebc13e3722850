"""Pieces of the page as HTML, escaped: tables, folded parts, figures. Any room may build a section of the report with them."""

import json
from html import escape
from typing import Any


def section(title: str, content: str) -> str:
    """Return a section with its heading; the page's navigation lists it."""
    return f"<section><h2>{escape(title)}</h2>\n{content}\n</section>"


def table(header: list[str], rows: list[list[str]], text_columns: int, caption: str = "") -> str:
    """Return a table; the first ``text_columns`` columns are text, the others numbers, set to the right."""
    kinds = ["" if i < text_columns else ' class="n"' for i in range(len(header))]
    head = "".join(f"<th scope=col{kind}>{escape(h)}</th>" for h, kind in zip(header, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(c)}</td>" for c, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def details(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def figure(name: str, title: str, described: dict[str, Any], caption: str, wide: bool = False) -> str:
    """Return a figure that the page's scripts draw.

    Args:
        name: its id, and the name of the files that it is saved as.
        described: what is drawn, as ``laimbench.report.figures`` has it.
        wide: as wide as the page, where others stand two in a row.
    """
    shown = escape(name, quote=True)
    return (
        f'<figure id="{shown}"{" class=wide" if wide else ""}><h3>{escape(title)}</h3>'
        f"<figcaption>{escape(caption)}</figcaption>{data('figure', name, described)}</figure>"
    )


def figures(*found: str) -> str:
    """Return figures side by side where there is room."""
    return f'<div class="figures">{"".join(found)}</div>'


def data(kind: str, name: str, document: Any) -> str:
    """Return a block of data for the page's scripts, which find it by ``data-{kind}``."""
    return (
        f'<script type="application/json" data-{kind}="{escape(name, quote=True)}">{json_for_script(document)}</script>'
    )


def json_for_script(document: Any) -> str:
    """Return JSON that cannot end its script element, whatever its strings hold."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def clipped(text: str, most: int = 300) -> str:
    """Return the text, shortened where somebody stored a book in a name."""
    return text if len(text) <= most else text[: most - 1] + "…"
