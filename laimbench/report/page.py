"""One self-contained HTML file: opens without network, light and dark, readable without its scripts but for figures and runs."""

import base64
import hashlib
from html import escape
from importlib.resources import files
from pathlib import Path

from laimbench import provenance
from laimbench.files import write_atomically
from laimbench.report import figures
from laimbench.report.answer import Answer, Estimate, form_interval
from laimbench.report.bench_section import bench_section
from laimbench.report.costs import costs_section
from laimbench.report.markup import clipped, data, details, figure, section, table
from laimbench.report.markup import figures as side_by_side
from laimbench.report.planner import planner_section
from laimbench.store import RunRow

Metrics = figures.Metrics
SCRIPTS = ("draw.js", "marks.js", "save.js", "figure.js", "runs.js", "law.js", "planner.js", "commits.js", "costs.js",
           "page.js")  # fmt: skip
RUN_COLUMNS = ("id", "sweep", "family", "size", "backend", "dtype", "seed", "params", "tokens", "FLOPs", "train loss", "val loss",
               "seconds", "status")  # fmt: skip


def write_page(
    path: Path, answers: list[Answer], runs: list[RunRow], metrics: Metrics, bench: dict | None, source: str,
    sections: str = "",
) -> None:  # fmt: skip
    """Write the report; arguments as ``render_page``."""
    write_atomically(path, render_page(answers, runs, metrics, bench, source, sections))


def render_page(
    answers: list[Answer], runs: list[RunRow], metrics: Metrics, bench: dict | None, source: str, sections: str = "",
    live: str = "",
) -> str:  # fmt: skip
    """Return the report as HTML.

    Args:
        answers: from ``answer``; runs and metrics: of the store, metrics by run id.
        bench: the newest bench document, or None.
        source: the store's name, for "how it was made".
        sections: HTML of other rooms, put before the table of runs; escaped by who made it (``laimbench.report.markup`` helps).
        live: of a page that asks the server that it is from for news: the version that it shows.
    """
    metrics = figures.thinned(metrics)
    body = [_headline(answers)]
    body += [_answer_section(one, metrics) for one in answers if one.pairs]
    body.append(bench_section(bench))
    body += [costs_section(one) + planner_section(one) for one in answers if one.pairs]
    body += [sections, _runs_section(runs), _how_it_was_made(runs, bench, source)]
    return assemble(body, live)


def assemble(body: list[str], live: str = "") -> str:
    """Return a whole page of these pieces of HTML, with all it needs to be drawn; ``live`` as for ``render_page``."""
    style = _asset("page.css")
    scripts = [_asset(name) for name in (*SCRIPTS, *(["live.js"] if live else []))]
    parts = {
        "policy": _policy(style, scripts, bool(live)),
        "style": f"<style>{style}</style>",
        "body": "\n".join([*body, *([data("live", live, {})] if live else [])]),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    before, *rest = _asset("page.html").split("<!-- ")  # cut once, so that no content is taken for a place to fill
    return before + "".join(parts[piece.partition(" -->")[0]] + piece.partition(" -->")[2] for piece in rest)


def _asset(name: str) -> str:
    return files("laimbench.report").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, scripts: list[str], live: bool) -> str:
    """Return the Content-Security-Policy: nothing is loaded, and no script runs but ours, whatever the store holds."""
    digest = lambda text: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"  # noqa: E731
    rules = ["default-src 'none'", f"script-src {' '.join(map(digest, scripts))}", f"style-src {digest(style)}",
             "img-src data: blob:", "base-uri 'none'", "form-action 'none'", *(["connect-src 'self'"] if live else [])]  # fmt: skip
    return f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(rules)}">'


def _headline(answers: list[Answer]) -> str:
    if not answers:
        return '<p class="answer">The store holds no runs yet.</p>'
    first, *others = answers
    notes = "".join(f"<li>{escape(note)}</li>" for note in first.notes)
    more = "".join(f"<p>{escape(one.sentence())}</p>{cards(one)}" for one in others)
    parts = [f'<p class="answer">{escape(first.sentence())}</p>', cards(first)]
    if notes:
        parts.append(f"<ul class=notes>{notes}</ul>")
    if more:
        parts.append(
            f"<details class=also><summary>Other families and dtypes ({len(others)})</summary>{more}</details>"
        )
    return "\n".join(parts)


def cards(one: Answer) -> str:
    """The three numbers of the answer."""
    if one.speed is None:
        return ""
    faster = one.speed.interval and (one.speed.interval[0] > 1) - (one.speed.interval[1] < 1)
    better = {"the same": 1, "better": 1, "worse": -1}.get(one.verdict, 0)
    gain = one.gain and one.gain.interval and (one.gain.interval[1] < 0) - (one.gain.interval[0] > 0)
    entries = [("Training speed", f"×{one.speed.value:.2f}",
                f"95 %: {form_interval(one.speed.interval, '.2f')}" if one.speed.interval else "no interval", faster,
                _bar(one.speed, 1.0, "equally fast")),
               ("Learning", one.verdict, f"{one.difference.value:+.4f} nats against stock"
                + (f"; seeds ±{one.seed_spread:.4f}" if one.seed_spread is not None else ""), better,
                _bar(one.difference, 0.0, "no difference")),
               ("Worth at equal wall time", one.gain_text().partition(" (")[0] if one.gain else "not determined",
                "validation loss, " + one.gain_text().partition("(")[2].rstrip(")") if one.gain else "see the notes", gain,
                _bar(one.gain, 0.0, "no gain") if one.gain else "")]  # fmt: skip
    tone = {1: "good", -1: "bad"}
    return '<div class="cards">' + "".join(
        f'<div class="card {tone.get(sign, "")}"><h3>{escape(title)}</h3><p class=number>{escape(value)}</p>{bar}'
        f"<p>{escape(detail)}</p></div>"
        for title, value, detail, sign, bar in entries
    ) + "</div>"  # fmt: skip


def _bar(estimate: Estimate, neutral: float, meaning: str) -> str:
    """Return the estimate and its interval as a small picture, beside the value at which nothing would have changed."""
    low, high = estimate.interval or (estimate.value, estimate.value)
    reach = 1.25 * max(abs(low - neutral), abs(high - neutral), 1e-12)
    place = lambda value: f"{100 + 96 * (value - neutral) / reach:.1f}"  # noqa: E731
    return (
        f'<svg class=bar viewBox="0 0 200 16" role=img aria-label="interval against {meaning}">'
        f'<line class=axis x1=0 x2=200 y1=8 y2=8 /><line class=neutral x1=100 x2=100 y1=1 y2=15 />'
        f"<line class=interval x1={place(low)} x2={place(high)} y1=8 y2=8 /><circle cx={place(estimate.value)} cy=8 r=5 /></svg>"
    )  # fmt: skip


def _answer_section(one: Answer, metrics: Metrics) -> str:
    kind = f"{one.family}-{one.arithmetic}"
    isoflop = figures.isoflop(one, metrics)
    found = [
        figure(f"compute-{kind}", "Loss against compute", figures.loss_against_compute(one, metrics),
               "Faint: runs on the way; markers: their ends, rings stock, crosses laim. A cross inside a ring: both learn the same. Dashed: "
               "the law fitted to all ends, with its 95 % band. Both axes are logarithmic.", wide=True),
        figure(f"time-{kind}", "Loss against time", figures.loss_against_time(one, metrics),
               "The longest runs of each size against seconds spent in training steps. A faster backend lies to the left."),
        figure(f"speed-{kind}", "Training speed by size", figures.speed_up_of_pairs(one.pairs),
               "Each point is one pair, trained alternately in one process: seconds in training steps of stock over laim."),
        figure(f"pairs-{kind}", "Paired loss curves", figures.paired_curves(one, metrics),
               "Same weights at the start, same batches: laim, thin, on top of stock, broad."),
        figure(f"difference-{kind}", "Difference of paired losses", figures.paired_differences(one, metrics),
               "laim less stock at equal tokens, against the standard deviation of final losses over seeds."),
    ]  # fmt: skip
    if isoflop:
        found.append(figure(f"isoflop-{kind}", "IsoFLOP fan", isoflop,
                            "Validation loss of each size at equal compute, read off the curves of the runs that ended soonest after it, so "
                            "that their schedules were nearly done. The lowest point of a line is the best size for its budget, unless it is at an end.", wide=True))  # fmt: skip
    else:
        found.append("<p>No isoFLOP fan: expected two levels of compute that three sizes or more have reached.</p>")
    return section(f"{one.family}, {one.arithmetic}", f"{side_by_side(*found)}{_sizes_table(one)}")


def _sizes_table(one: Answer) -> str:
    cells = []
    for size, estimate in one.speed_by_size.items():
        runs = [pair.ours for pair in one.pairs if pair.ours.size == size]
        cells.append([clipped(size), f"{runs[0].params:,}", str(len(runs)),
                      f"{min(r.tokens for r in runs):,} to {max(r.tokens for r in runs):,}", f"×{estimate.text('.3f')}"])  # fmt: skip
    header = ["size", "parameters", "pairs", "tokens", "speed-up (95 %)"]
    return table(header, cells, text_columns=1, caption=f"Speed-up by size: {one.family}, {one.arithmetic}")


def _runs_section(runs: list[RunRow]) -> str:
    rows = [
        [r.id, clipped(r.sweep), clipped(r.family), clipped(r.size), clipped(r.backend), clipped(r.dtype), r.seed, r.params, r.tokens,
         r.flops, r.final_train_loss, r.final_val_loss, r.train_s, clipped(r.status + (f": {r.error}" if r.error else ""))]
        for r in runs
    ]  # fmt: skip
    extra = [[str(r.id), r.size, r.backend, str(r.seed), *(f"{r.summary[k]:.4f}" for k in ("accuracy", "recall", "f1"))]
             for r in runs if "accuracy" in r.summary]  # fmt: skip
    parts = [data("runs", "runs", {"columns": RUN_COLUMNS, "rows": rows})]
    if extra:
        shown = table(["id", "size", "backend", "seed", "accuracy", "recall", "F1"], extra, text_columns=3)
        parts.append(details("Classification", shown))
    return section("Runs", "".join(parts))


def _how_it_was_made(runs: list[RunRow], bench: dict | None, source: str) -> str:
    machine = runs[-1].machine if runs else provenance.collect()
    facts = {
        "machine": f"{machine['machine']}, {machine['cores']} cores, {machine['memory_gib']} GiB",
        **({"GPU": machine["gpu"]} if "gpu" in machine else {}),
        "instruction set of laim": machine["isa"],
        "threads": machine["threads"],
        "torch": machine["torch"],
        "python": machine["python"],
        "laimbench": f"{machine['version']}, commit {machine['commit'] or 'unknown'}",
        "store": source,
        "runs by": "; ".join(dict.fromkeys(run.machine["command"] for run in runs)),
        "bench by": bench["machine"]["command"] if bench else "none",
    }
    rows = "".join(
        f"<tr><th scope=row>{escape(k)}</th><td>{escape(clipped(str(v), 2000))}</td></tr>" for k, v in facts.items()
    )
    return section(
        "How it was made",
        f"""<table class="facts"><caption>Provenance</caption>{rows}</table>
<p>FLOPs are counted exactly from the models' shapes: matrix products with the output layer, causal attention as half of its square,
backward twice the forward. Times are seconds in training steps: forward, backward, clipping, optimizer; without data preparation,
evaluation and compilation. Paired runs take turns segment by segment in one process. The law is L = E + a C<sup>-b</sup>, by the
Huber loss (δ = 10<sup>-3</sup>) of log residuals, its interval by bootstrap over configurations.</p>
<h3>Limits</h3><ul><li>One machine: another processor may rank the kernels differently.</li>
<li>Small models and few seeds: intervals are wide, the law holds between its points, not far beyond.</li>
<li>The interval of the speed-up treats the sizes as independent draws.</li></ul>""",
    )
