"""The document of a fit (``analysis.Analysis.to_dict`` and what the command line adds) as Markdown and as one offline HTML page."""

import html
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from laimbench.laws.output.pictures import CAPTIONS
from laimbench.laws.output.style import render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table = tuple[list[str], list[list[str]]]

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { border-bottom: 1px solid #8884; padding: .25rem .75rem; text-align: left; }
figure { margin: 2rem 0; } figure svg { max-width: 100%; height: auto; background: #fff; } figcaption { color: #888; }
"""


def to_markdown(document: Mapping[str, Any]) -> str:
    """Return the document as Markdown; text of the user's is escaped."""
    lines = [f"# {_plain(document['equation'])}", ""]
    for title, texts, table in _sections(document):
        lines += [f"## {title}", ""]
        lines += [f"- {_plain(text)}" for text in texts] + ([""] if texts else [])
        if table:
            heads, rows = table
            lines += [
                "| " + " | ".join(_plain(cell) for cell in row) + " |" for row in (heads, ["---"] * len(heads), *rows)
            ] + [""]
    return "\n".join(lines)


def to_html(document: Mapping[str, Any], figures: "Mapping[str, Figure]") -> str:
    """Return one page that opens without network: the same sections, and the pictures as SVG."""
    body = [f"<h1>{html.escape(document['equation'])}</h1>"]
    for title, texts, table in _sections(document):
        body.append(f"<h2>{title}</h2>")
        if texts:
            body.append("<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>")
        if table:
            heads, rows = table
            cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
            lines = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            body.append(f"<table><tr>{cells}</tr>{lines}</table>")
    for name, figure in figures.items():
        drawn = render(figure, "svg").decode()
        picture = drawn[drawn.index("<svg") :]  # a page has no use for the XML declaration
        body.append(
            f'<figure role="img" aria-label="{html.escape(CAPTIONS[name])}">{picture}<figcaption>{html.escape(CAPTIONS[name])}</figcaption></figure>'
        )
    title = html.escape(document["equation"])
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>{"".join(body)}</html>\n'


def _sections(document: Mapping[str, Any]) -> Iterator[tuple[str, list[str], Table | None]]:
    """Yield title, lines and a table of each part that the document has."""
    intervals = document["intervals"]
    rows = []
    for name, value in document["params"].items():
        low, high = intervals.get(name, (None, None))
        held = "held" if name in document["fixed"] else ""
        rows.append([name, f"{value:.6g}", held if low is None else f"{low:.4g} to {high:.4g}"])
    verdict = document["verdict"]
    made = [
        f"{document['rows']} runs of {document['source']}, worth {document['effective_runs']:.4g} independent ones",
        f"sum of {document['loss_function']} losses {document['objective']:.9e}; {verdict['agreeing']:.0%} of {verdict['starts']} starts agree",
        f"intervals: BCa of {document['resampling']['samples']} refits of {document['resampling']['kind']}, seed {document['resampling']['seed']}",
    ]
    yield "Law", [], (["parameter", "value", "95 % interval"], rows)
    if document["warnings"]:
        yield "What the data do not say", list(document["warnings"]), None
    yield "How it was made", [*made, *document["notes"]], None
    quality = document["quality"]
    if quality and quality["dropped"]:
        lines = [[str(one["row"]), one["code"], one["detail"]] for one in quality["dropped"]]
        yield "Runs in doubt", list(quality["flags"]), (["row", "reason", "detail"], lines)
    if "check" in document:
        check = document["check"]
        claimed = ", ".join(f"{name} {value:g}" for name, value in check["params"].items())
        yield (
            "Claimed parameters",
            [],
            (["parameters", "objective"], [[claimed, f"{check['objective']:.9e}"], ["ours", f"{check['ours']:.9e}"]]),
        )
    if "profiles" in document:
        lines = [
            [p["name"], " to ".join("open" if end is None else f"{end:.4g}" for end in p["interval"])]
            for p in document["profiles"]
        ]
        yield "Profiles", [], (["parameter", "95 % by profile"], lines)
    if "conventions" in document:
        effects = document["conventions"]["effects"]
        lines = [[e["params"], e["flops"], *(f"{v:.4f}" for v in e["numbers"].values())] for e in effects]
        heads = ["parameters", "FLOPs", *(effects[0]["numbers"] if effects else ())]
        yield "Conventions", list(document["conventions"]["absent"]), (heads, lines)
    if "approaches" in document:
        found = document["approaches"]
        lines = [
            [str(a["approach"]), a["name"], _estimate(a["a"]), _estimate(a["b"])]
            for a in found["approaches"]
            if "a" in a
        ]
        texts = [d["statement"] for d in found["disagreements"]] or [
            "the approaches that there are agree within their intervals"
        ]
        yield "Approaches", texts, (["approach", "name", "a", "b"], lines)
    if "selection" in document:
        lines = [[c["name"], str(c["parameters"]), _estimate(c["error"])] for c in document["selection"]["candidates"]]
        yield (
            "Forms held out by compute",
            [document["selection"]["statement"]],
            (["form", "parameters", "error in log loss"], lines),
        )


def _estimate(estimate: Mapping[str, Any]) -> str:
    if estimate.get("low") is None or estimate.get("high") is None:
        return f"{estimate['value']:.4g}"
    return f"{estimate['value']:.4g} ({estimate['low']:.4g} to {estimate['high']:.4g})"


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return (
        html.escape(" ".join(str(text).split()), quote=False)
        .replace("|", "\\|")
        .replace("*", "\\*")
        .replace("_", "\\_")
        .replace("`", "\\`")
    )
