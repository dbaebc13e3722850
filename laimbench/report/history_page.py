"""The page of a repository's history: what asv measured of each commit, with intervals where the suite has standard errors."""

import re
from datetime import UTC, datetime
from html import escape

import numpy as np

from laimbench.report.commits import CommitCurves, commits_figure, level
from laimbench.report.figures import rounded
from laimbench.report.markup import clipped, figure, figures, section, table
from laimbench.report.page import assemble
from laimbench.track.history import FLOPS, LOSS, Benchmark, Commit, History, Params, curves
from laimbench.track.multiplier import Multiplier

STANDARD_ERROR = "_standard_error"
ERRORS = 2  # standard errors on either side
FEW_LINES = 8  # more are drawn in a figure for each value of the parameter that has most values
MOST_LINES, MOST_FIGURES = 32, 32  # beyond them a benchmark is left to asv's own pages
KIND = re.compile(r"^(track|time|timeraw|peakmem|mem)_")  # asv's, before a benchmark's own name
CAMEL_CASE = re.compile(r"(?<=[a-z])[A-Z]")
MARKS = ("dot", "ring", "diamond", "cross", "square", "triangle")


def render_history(history: History, source: str) -> str:
    """Return the page as HTML. source: where the results are, for "how it was made"."""
    multipliers = history.multipliers()
    body = [f'<p class="answer">{escape(sentence(history, multipliers))}</p>', _learning(history, multipliers)]
    rooms: dict[str, list[str]] = {}
    for name, benchmark in history.benchmarks.items():
        if name.endswith((STANDARD_ERROR, LOSS, FLOPS)):
            continue
        errors = history.benchmarks.get(name + STANDARD_ERROR)
        rooms.setdefault(name.partition(".")[0], []).extend(_over_commits(history.commits, benchmark, errors))
    body += [section(room.replace("_", " "), figures(*drawn)) for room, drawn in rooms.items() if drawn]
    body.append(_commits(history, multipliers))
    body.append(section("How it was made", f"<p>asv's results of machine {escape(history.machine)} in {escape(source)}. Bars: two standard "
                        "errors, where the suite tracks them under the same name with _standard_error. A benchmark that failed at a commit has "
                        "no point there.</p>"))  # fmt: skip
    return assemble(body)


def sentence(history: History, multipliers: list[Multiplier | str]) -> str:
    """Return what the history says, in one sentence."""
    first, last = history.commits[0], history.commits[-1]
    said = f"{len(history.commits)} commits from {first.hash[:8]} ({day(first.date)}) to {last.hash[:8]} ({day(last.date)})"
    known = [(commit, one) for commit, one in zip(history.commits, multipliers, strict=False) if isinstance(one, Multiplier)]  # fmt: skip
    if len(known) < 2:
        return f"{said}."
    base, newest = known[0][0], known[-1]
    return f"{said}: at {newest[0].hash[:8]} the effective compute multiplier against {base.hash[:8]} is {newest[1].text()}."


def _learning(history: History, multipliers: list[Multiplier | str]) -> str:
    ladder = history.ladder()
    found = [
        CommitCurves(
            commit.hash[:8],
            f"{commit.hash[:8]}, {day(commit.date)}{': ' + commit.subject if commit.subject else ''}",
            curves(runs),
        )
        for commit, runs in zip(history.commits, ladder, strict=False)
    ]
    drawn = commits_figure("commits", found,
                           "Final losses of the ladder, mean over seeds, a curve per size that has several budgets. The chosen commit is drawn "
                           "strong, on top of all others: where only one curve is seen, they learn the same.")  # fmt: skip
    known = [(i, one) for i, one in enumerate(multipliers) if isinstance(one, Multiplier)]
    if not known:
        return section("Learning", drawn) if drawn else ""
    values = [one.value for _, one in known]
    series = {"kind": "points", "name": "multiplier, 95 %", "colour": "laim", "mark": "dot", "x": [i for i, _ in known],
              "y": rounded(values), "ylo": rounded([(one.interval or (one.value,))[0] for _, one in known]),
              "yhi": rounded([(one.interval or (one.value,))[-1] for _, one in known]),
              "label": [f"{history.commits[i].hash[:8]}: {one.text()}" for i, one in known]}  # fmt: skip
    described = {"x": commit_axis(history.commits), "y": {"title": "times the compute"}, "series": [series],
                 "lines": [{"y": 1.0, "label": "as the first"}]}  # fmt: skip
    worth = figure("multiplier", "Effective compute multiplier against the first commit", described,
                   "How many times the commit's compute the first one would have needed for its loss, at equal FLOPs; intervals from paired "
                   "seeds (docs/tracking.md).", wide=True)  # fmt: skip
    return section("Learning", figures(drawn, worth))


def _parts(benchmark: Benchmark) -> tuple[int | None, dict[str, list[Params]]]:
    """Return which parameter, if any, has a figure for each of its values, and each figure's combinations by that value."""
    combinations = benchmark.combinations
    if len(combinations) <= FEW_LINES or len(combinations[0]) < 2:
        most, parts = None, {"": combinations}
    else:
        columns = [list(dict.fromkeys(values)) for values in zip(*combinations, strict=True)]
        most = max(range(len(columns)), key=lambda place: len(columns[place]))
        parts = {value: [key for key in combinations if key[most] == value] for value in columns[most]}
    drawable = len(parts) <= MOST_FIGURES and all(0 < len(keys) <= MOST_LINES for keys in parts.values())
    return most, parts if drawable else {}


def _over_commits(commits: list[Commit], benchmark: Benchmark, errors: Benchmark | None) -> list[str]:
    parts = [KIND.sub("", part).replace("_", " ") for part in benchmark.name.split(".")[1:]]
    title = ": ".join(CAMEL_CASE.sub(lambda found: " " + found[0].lower(), part) for part in parts)
    described = {"x": commit_axis(commits), "y": {"title": benchmark.unit or "1"}}
    drawn = []
    apart, figures_of = _parts(benchmark)
    told = lambda values: ", ".join(value for place, value in enumerate(values) if place != apart)  # noqa: E731
    for number, (shared, keys) in enumerate(figures_of.items()):
        series = [
            one
            for line, key in enumerate(keys)
            for one in _line(commits, benchmark, errors, key, told(key), line, len(keys))
        ]
        by = told(benchmark.param_names)
        identity = benchmark.name.replace(".", "-") + (f"-{number}" if shared else "")
        drawn.append(figure(identity, clipped(f"{title}: {shared}" if shared else title, 120), described | {"series": series},
                            f"By {by}." if by else "", wide=len(keys) > FEW_LINES))  # fmt: skip
    return drawn


def _line(
    commits: list[Commit],
    benchmark: Benchmark,
    errors: Benchmark | None,
    key: Params,
    name: str,
    number: int,
    count: int,
) -> list[dict]:
    """Return the curve and the points of one combination of parameters, the number-th of so many in its figure."""
    name = clipped(name or benchmark.name.rpartition(".")[2], 80)
    at = [i for i, values in enumerate(benchmark.values) if key in values]
    values = [benchmark.values[i][key] for i in at]
    colour = f"series{number}" if count <= 3 else level(number, count)
    points = {"kind": "points", "name": name, "colour": colour, "mark": MARKS[number % len(MARKS)], "x": at, "y": rounded(values),
              "label": [f"{commits[i].hash[:8]}, {name}: {value:.5g} {benchmark.unit}" for i, value in zip(at, values, strict=True)]}  # fmt: skip
    if errors is not None:
        half = ERRORS * np.array([errors.values[i].get(key, 0.0) for i in at])
        points |= {"ylo": rounded(np.array(values) - half), "yhi": rounded(np.array(values) + half)}
    return [{"kind": "curves", "name": name, "colour": colour, "x": [at], "y": [rounded(values)]}, points]


def _commits(history: History, multipliers: list[Multiplier | str]) -> str:
    worth = [one.text() if isinstance(one, Multiplier) else one for one in multipliers] or [""] * len(history.commits)
    measured = [sum(bool(one.values[i]) for one in history.benchmarks.values()) for i in range(len(history.commits))]
    rows = [
        [
            commit.hash[:10],
            day(commit.date),
            clipped(commit.subject, 200),
            text,
            f"{count} of {len(history.benchmarks)}",
        ]
        for commit, text, count in zip(history.commits, worth, measured, strict=True)
    ]
    header = ["commit", "date", "subject", "compute multiplier against the first", "benchmarks with figures"]
    caption = "From the oldest on; of a commit that did not build no benchmark has figures"
    return section("Commits", table(header, rows, text_columns=5, caption=caption))


def commit_axis(commits: list[Commit]) -> dict:
    return {"title": "commit", "labels": [commit.hash[:8] for commit in commits]}


def day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
