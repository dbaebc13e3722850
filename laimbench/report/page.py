"""One self-contained HTML file: opens without network, light and dark, readable without its scripts but for the figures."""

import json
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import plotly
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from laimbench import provenance
from laimbench.files import write_atomically
from laimbench.report import figures
from laimbench.report.answer import Answer, form_interval
from laimbench.store import RunRow

Metrics = figures.Metrics


def write_page(
    path: Path, answers: list[Answer], runs: list[RunRow], metrics: Metrics, bench: dict | None, source: str,
    sections: str = "",
) -> None:  # fmt: skip
    """Write the report.

    Args:
        path: the HTML file.
        answers: from ``answer``; runs and metrics: of the store, metrics by run id.
        bench: the newest bench document, or None.
        source: the store's name, for "how it was made".
        sections: HTML of other rooms, put before the table of runs; escaped by who made it.
    """
    body = [_headline(answers)]
    for one in answers:
        if one.pairs:
            body.append(_answer_sections(one, metrics))
    body.append(_bench_section(bench))
    body += [sections, _runs_table(runs)]
    body.append(_how_it_was_made(runs, bench, source))
    template = files("laimbench.report").joinpath("page.html").read_text(encoding="utf-8")
    for name, content in (("body", "\n".join(body)), ("plotly", f"<script>{get_plotlyjs()}</script>")):
        template = template.replace(f"<!-- {name} -->", content, 1)
    write_atomically(path, template)


def _headline(answers: list[Answer]) -> str:
    first, *others = answers
    notes = "".join(f"<li>{escape(note)}</li>" for note in first.notes)
    more = "".join(f'<p class="also">{escape(one.sentence())}</p>' for one in others)
    return f'<p class="answer">{escape(first.sentence())}</p>{cards(first)}{more}' + (
        f"<ul class=notes>{notes}</ul>" if notes else ""
    )


def cards(one: Answer) -> str:
    """The three numbers of the answer."""
    if one.speed is None:
        return ""
    entries = [("training speed", f"×{one.speed.value:.2f}",
                f"95 %: {form_interval(one.speed.interval, '.2f')}" if one.speed.interval else "no interval"),
               ("learning", one.verdict, f"{one.difference.value:+.4f} nats against stock"
                + (f"; seeds ±{one.seed_spread:.4f}" if one.seed_spread is not None else "")),
               ("worth at equal wall time", one.gain_text().partition(" (")[0] if one.gain else "not determined",
                "validation loss, " + one.gain_text().partition("(")[2].rstrip(")") if one.gain else "see the notes")]  # fmt: skip
    return '<div class="cards">' + "".join(
        f"<div><h3>{escape(title)}</h3><p class=number>{escape(value)}</p><p>{escape(detail)}</p></div>"
        for title, value, detail in entries
    ) + "</div>"  # fmt: skip


def _answer_sections(one: Answer, metrics: Metrics) -> str:
    title = f"{one.family}, {one.dtype}"
    kind = f"{one.family}-{one.dtype}"
    sections = [
        f"<h2>{escape(title)}: loss against compute</h2>",
        figure(f"compute-{kind}", figures.loss_against_compute(one, metrics),
               "Validation loss against training compute, both axes logarithmic. Faint lines: runs in progress; markers: their ends, "
               "circles stock, crosses laim. Crosses inside circles: both learn the same. Dashed: the law fitted to all ends."),
        f"<h2>{escape(title)}: loss against time</h2>",
        figure(f"time-{kind}", figures.loss_against_time(one, metrics),
               "The longest run of each size and seed against seconds spent in training steps. A faster backend lies to the left."),
        f"<h2>{escape(title)}: paired loss curves</h2>",
        figure(f"pairs-{kind}", figures.paired_curves(one, metrics),
               "Above, paired runs on top of each other: same weights at the start, same batches. Below, their difference, against the "
               "standard deviation of final losses over seeds."),
        f"<h2>{escape(title)}: training speed by size</h2>",
        figure(f"speed-{kind}", figures.speed_up_of_pairs(one.pairs),
               "Each point is one pair, trained alternately in one process: seconds in training steps of stock over laim."),
        _sizes_table(one),
    ]  # fmt: skip
    return "\n".join(sections)


def _bench_section(bench: dict | None) -> str:
    if not bench:
        return "<h2>Kernels and training steps</h2><p>No bench result in the store: <code>laimbench bench --store</code> adds one.</p>"
    parts = []
    kinds = (("kernels", "Speed-up per kernel"), ("steps", "Speed-up per training step"))
    for suite, title in kinds:
        rows = [row for row in bench["rows"] if row["suite"] == suite]
        if not rows:
            continue
        losing = sum(row["speedup"] < 1 for row in rows)
        busy = sum(row["busy"] for row in rows)
        disturbed = (
            f" {busy} rows were timed while other processes used the cores (busy): they say little." if busy else ""
        )
        parts.append(f"<h2>{title}</h2>")
        parts.append(figure(f"bench-{suite}", figures.speed_up_rows(rows),
                            f"All sides interleaved in one run; median and 95 % interval of the ratio. laim is slower in {losing} of "
                            f"{len(rows)} rows, marked red.{disturbed}"))  # fmt: skip
        sides = list(dict.fromkeys(name for row in rows for name in row["seconds"]))
        header = [
            "op",
            "shape",
            "dtype",
            "direction",
            *(f"{name}, ms" for name in sides),
            "best stock",
            "speed-up",
            "95 %",
            "% of peak",
        ]
        cells = [
            [row["op"], row["shape"], row["dtype"], row["direction"],
             *(f"{1e3 * row['seconds'][name][0]:.3f}" if name in row["seconds"] else "" for name in sides),
             row["best_stock"], f"{row['speedup']:.2f}{' busy' if row['busy'] else ''}", f"{row['speedup_lo']:.2f} to {row['speedup_hi']:.2f}",
             f"{row['percent_of_peak']:.0f}"]
            for row in rows
        ]  # fmt: skip
        parts.append(details(f"Table: {title.lower()}", table(header, cells, text_columns=4)))
    return "\n".join(parts)


def _sizes_table(one: Answer) -> str:
    cells = []
    for size, estimate in one.speed_by_size.items():
        runs = [pair.ours for pair in one.pairs if pair.ours.size == size]
        cells.append([size, f"{runs[0].params:,}", str(len(runs)), f"{min(r.tokens for r in runs):,} to {max(r.tokens for r in runs):,}",
                      f"×{estimate.text('.3f')}"])  # fmt: skip
    return table(["size", "parameters", "pairs", "tokens", "speed-up (95 %)"], cells, text_columns=1)


def _runs_table(runs: list[RunRow]) -> str:
    header = [
        "id",
        "sweep",
        "size",
        "backend",
        "dtype",
        "seed",
        "tokens",
        "FLOPs",
        "train loss",
        "val loss",
        "seconds",
        "status",
    ]
    number = lambda value, form: "" if value is None else format(value, form)  # noqa: E731
    cells = [
        [str(r.id), r.sweep, r.size, r.backend, r.dtype, str(r.seed), f"{r.tokens:,}", f"{r.flops:.3g}",
         number(r.final_train_loss, ".4f"), number(r.final_val_loss, ".4f"), number(r.train_s, ".2f"), r.status + (f": {r.error}" if r.error else "")]
        for r in runs
    ]  # fmt: skip
    extra = [[str(r.id), r.size, r.backend, str(r.seed), *(f"{r.summary[k]:.4f}" for k in ("accuracy", "recall", "f1"))]
             for r in runs if "accuracy" in r.summary]  # fmt: skip
    parts = [f"<h2>Runs</h2>{details(f'All {len(runs)} runs', table(header, cells, text_columns=5))}"]
    if extra:
        parts.append(
            details(
                "Classification",
                table(["id", "size", "backend", "seed", "accuracy", "recall", "F1"], extra, text_columns=3),
            )
        )
    return "".join(parts)


def _how_it_was_made(runs: list[RunRow], bench: dict | None, source: str) -> str:
    machine = runs[-1].machine if runs else provenance.collect()
    facts = {
        "machine": f"{machine['machine']}, {machine['cores']} cores, {machine['memory_gib']} GiB",
        "instruction set of laim": machine["isa"],
        "threads": machine["threads"],
        "torch": machine["torch"],
        "python": machine["python"],
        "laimbench": f"{machine['version']}, commit {machine['commit'] or 'unknown'}",
        "store": source,
        "runs by": "; ".join(dict.fromkeys(run.machine["command"] for run in runs)),
        "bench by": bench["machine"]["command"] if bench else "none",
        "plots": f"plotly {plotly.__version__}",
    }
    rows = "".join(f"<tr><th scope=row>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in facts.items())
    return f"""<h2>How it was made</h2><table class="facts">{rows}</table>
<p>FLOPs are counted exactly from the models' shapes: matrix products with the output layer, causal attention as half of its square,
backward twice the forward. Times are seconds in training steps: forward, backward, clipping, optimizer; without data preparation,
evaluation and compilation. Paired runs take turns segment by segment in one process. The law is L = E + a C<sup>-b</sup>, by the
Huber loss (δ = 10<sup>-3</sup>) of log residuals, its interval by bootstrap over configurations.</p>
<h2>Limits</h2><ul><li>One machine: another processor may rank the kernels differently.</li>
<li>Small models and few seeds: intervals are wide, the law holds between its points, not far beyond.</li>
<li>The interval of the speed-up treats the sizes as independent draws.</li></ul>"""


def figure(name: str, plot: go.Figure, caption: str) -> str:
    data = json_for_script(json.loads(plot.to_json()))
    return (
        f'<figure><div id="{escape(name, quote=True)}" class="plot" role="img" aria-label="{escape(caption, quote=True)}"></div>'
        f"<figcaption>{escape(caption)}</figcaption>"
        f'<script type="application/json" data-plot="{escape(name, quote=True)}">{data}</script></figure>'
    )


def json_for_script(document: Any) -> str:
    """Return JSON that cannot end its script element, whatever its strings hold."""
    return json.dumps(document).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def table(header: list[str], rows: list[list[str]], text_columns: int) -> str:
    kinds = ["" if i < text_columns else ' class="n"' for i in range(len(header))]
    head = "".join(f"<th scope=col{kind}>{escape(h)}</th>" for h, kind in zip(header, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(c)}</td>" for c, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def details(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"
