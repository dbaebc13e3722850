"""The report's figures, as plotly figures without colours of their own for paper and text: the page sets those."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from laimbench.report.answer import Answer, Pair
from laimbench.store import MetricRow

COLOURS = {"stock": "#d9822b", "laim": "#2f7ed8", "law": "#7a7a7a", "slower": "#c23030"}
Metrics = dict[int, list[MetricRow]]


def side(backend: str) -> str:
    return "laim" if backend.startswith("laim") else "stock"


def layout(figure: go.Figure, height: int = 460) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 70, "r": 20, "t": 20, "b": 60},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 14},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#8a97a3", "activecolor": "#2f7ed8", "orientation": "v"},
    )
    figure.update_xaxes(showline=True, zeroline=False)
    figure.update_yaxes(showline=True, zeroline=False)
    return figure


def loss_against_compute(one: Answer, metrics: Metrics) -> go.Figure:
    """Every run's validation loss over compute, final points strong, with the fitted law and its band."""
    figure = go.Figure()
    shown = set()
    for pair in one.pairs:
        for run in (pair.stock, pair.ours):
            rows = [row for row in metrics[run.id] if row.flops > 0 and row.val_loss is not None]
            figure.add_scatter(
                x=[row.flops for row in rows], y=[row.val_loss for row in rows], mode="lines", hoverinfo="skip",
                line={"color": COLOURS[side(run.backend)], "width": 1}, opacity=0.25, showlegend=False,
            )  # fmt: skip
    if one.law and one.law_compute:
        compute = np.geomspace(one.law_compute[0], one.law_compute[1], 60)
        if len(one.law.samples):
            low, high = one.law.band(compute)
            figure.add_scatter(
                x=[*compute, *compute[::-1]], y=[*high, *low[::-1]], fill="toself", mode="lines", line={"width": 0},
                fillcolor="rgba(122,122,122,0.22)", name="95 % band of the law", hoverinfo="skip",
            )  # fmt: skip
        p = one.law.params
        figure.add_scatter(
            x=compute, y=one.law.predict(compute), mode="lines", line={"color": COLOURS["law"], "width": 2, "dash": "dash"},
            name=f"L = {p['E']:.2f} + {p['a']:.3g} C^-{p['b']:.3f}", hovertemplate="C %{x:.3g}<br>law %{y:.4f}<extra></extra>",
        )  # fmt: skip
    for pair in one.pairs:
        for run, symbol, size in ((pair.stock, "circle-open", 13), (pair.ours, "x-thin", 8)):
            name = side(run.backend)
            figure.add_scatter(
                x=[run.flops], y=[run.final_val_loss], mode="markers", name=f"{name}, end of run", legendgroup=name,
                showlegend=name not in shown, marker={"color": COLOURS[name], "size": size, "symbol": symbol,
                        "line": {"width": 2, "color": COLOURS[name]}},
                hovertemplate=f"{run.size}, {run.tokens:,} tokens, seed {run.seed}, {run.backend}"
                "<br>C %{x:.3g}<br>val loss %{y:.4f}<extra></extra>",
            )  # fmt: skip
            shown.add(name)
    figure.update_xaxes(
        type="log", title="training compute (FLOPs, exact)", exponentformat="power", dtick=1, minor={"dtick": "D1"}
    )
    figure.update_yaxes(type="log", title="validation loss (nats per token)", dtick="D1")
    return layout(figure)


def loss_against_time(one: Answer, metrics: Metrics) -> go.Figure:
    """The same losses over seconds spent in training steps: where a speed-up shows."""
    figure = go.Figure()
    shown = set()
    for pair in one.pairs:
        if pair.ours.tokens != max(p.ours.tokens for p in one.pairs if p.ours.size == pair.ours.size):
            continue  # the longest budget of each size: shorter ones lie on top
        for run in (pair.stock, pair.ours):
            name = side(run.backend)
            rows = [row for row in metrics[run.id] if row.train_s > 0]
            figure.add_scatter(
                x=[row.train_s for row in rows], y=[row.val_loss for row in rows], mode="lines+markers", name=name,
                legendgroup=name, showlegend=name not in shown, line={"color": COLOURS[name]}, marker={"size": 5},
                hovertemplate=f"{run.size}, seed {run.seed}, {run.backend}<br>%{{x:.2f}} s<br>val loss %{{y:.4f}}<extra></extra>",
            )  # fmt: skip
            shown.add(name)
    figure.update_xaxes(type="log", title="seconds in training steps")
    figure.update_yaxes(title="validation loss (nats per token)")
    return layout(figure)


def paired_curves(one: Answer, metrics: Metrics) -> go.Figure:
    """Loss curves of paired runs on top of each other; below, their difference against the spread over seeds."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.6, 0.4], vertical_spacing=0.06)
    shown = set()
    for pair in one.pairs:
        by_step = {}
        for run in (pair.stock, pair.ours):
            name = side(run.backend)
            rows = [row for row in metrics[run.id] if row.tokens > 0]
            by_step[name] = {row.tokens: row.val_loss for row in rows}
            figure.add_scatter(
                x=[row.tokens for row in rows], y=[row.val_loss for row in rows], mode="lines", name=name, legendgroup=name,
                showlegend=name not in shown, row=1, col=1,
                line={"color": COLOURS[name], "width": 4 if name == "stock" else 1.5}, opacity=0.6 if name == "stock" else 1,
                hovertemplate=f"{run.size}, seed {run.seed}, {run.backend}<br>%{{x:,}} tokens<br>%{{y:.4f}}<extra></extra>",
            )  # fmt: skip
            shown.add(name)
        common = sorted(by_step["stock"].keys() & by_step["laim"].keys())
        figure.add_scatter(
            x=common, y=[by_step["laim"][x] - by_step["stock"][x] for x in common], mode="lines+markers",
            name="laim - stock", legendgroup="difference", showlegend="difference" not in shown, row=2, col=1,
            line={"color": COLOURS["laim"], "width": 1}, marker={"size": 4},
            hovertemplate=f"{pair.ours.size}, seed {pair.ours.seed}<br>%{{x:,}} tokens<br>%{{y:+.5f}}<extra></extra>",
        )  # fmt: skip
        shown.add("difference")
    if one.seed_spread is not None:
        figure.add_hrect(y0=-one.seed_spread, y1=one.seed_spread, row=2, col=1, line_width=0, opacity=0.2,
                         fillcolor=COLOURS["stock"], annotation_text="± one seed standard deviation",
                         annotation_position="top right")  # fmt: skip
    figure.update_yaxes(title="validation loss", row=1, col=1)
    figure.update_yaxes(title="laim - stock", row=2, col=1)
    figure.update_xaxes(title="training tokens", row=2, col=1)
    return layout(figure, height=620)


def speed_up_rows(rows: list[dict]) -> go.Figure:
    """Speed-ups with intervals, one line per row, 1 marked, slower ones in red."""
    rows = list(reversed(rows))
    labels = [f"{row['op']} {row['shape']} {row['dtype']} {row['direction']}" for row in rows]
    figure = go.Figure()
    for slower, name in ((False, "laim faster"), (True, "laim slower")):
        chosen = [(label, row) for label, row in zip(labels, rows, strict=True) if (row["speedup"] < 1) == slower]
        figure.add_scatter(
            x=[row["speedup"] for _, row in chosen], y=[label for label, _ in chosen], mode="markers", name=name,
            marker={"color": COLOURS["slower" if slower else "laim"], "size": 9, "symbol": "diamond" if slower else "circle"},
            error_x={"type": "data", "symmetric": False, "array": [row["speedup_hi"] - row["speedup"] for _, row in chosen],
                     "arrayminus": [row["speedup"] - row["speedup_lo"] for _, row in chosen]},
            customdata=[[row["best_stock"], 1e3 * row["seconds"]["laim"][0], row["percent_of_peak"]] for _, row in chosen],
            hovertemplate="%{y}<br>×%{x:.2f} against %{customdata[0]}<br>laim %{customdata[1]:.2f} ms, "
            "%{customdata[2]:.0f} % of peak<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=1, line_dash="dot", line_color=COLOURS["law"])
    figure.update_yaxes(categoryorder="array", categoryarray=labels, tickfont={"size": 12}, automargin=True)
    figure.update_xaxes(title="speed-up: best stock side / laim")
    return layout(figure, height=140 + 21 * len(rows))


def speed_up_of_pairs(pairs: list[Pair]) -> go.Figure:
    """Each pair's ratio of training times, by size."""
    figure = go.Figure()
    figure.add_scatter(
        x=[pair.ours.size for pair in pairs], y=[pair.speed_ratio for pair in pairs], mode="markers", showlegend=False,
        marker={"color": [COLOURS["laim" if pair.speed_ratio >= 1 else "slower"] for pair in pairs], "size": 9},
        customdata=[[pair.ours.tokens, pair.ours.seed, pair.stock.backend] for pair in pairs],
        hovertemplate="%{x}, %{customdata[0]:,} tokens, seed %{customdata[1]}<br>×%{y:.3f} against %{customdata[2]}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(y=1, line_dash="dot", line_color=COLOURS["law"])
    figure.update_xaxes(
        title="model size", categoryorder="array", categoryarray=list(dict.fromkeys(p.ours.size for p in pairs))
    )
    figure.update_yaxes(title="training time: stock / laim")
    return layout(figure, height=380)
