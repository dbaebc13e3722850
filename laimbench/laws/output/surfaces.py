"""Pictures of laws in parameters N and tokens D: contours of loss, and the fan of isoFLOP curves."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.fit import Fit
from laimbench.laws.output import style
from laimbench.laws.output.fits import column, ends, frontier, observed, splits_compute, target_name
from laimbench.laws.planning.allocation import columns_of, six_nd, tokens_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID = 120  # of contours, each way
LEVELS = 9  # contours at most
WINDOW = 0.12  # log of compute: runs of one budget mostly lie closer
GATHERED = 2.0
SPREAD = 0.35  # log of compute of all that counts to one budget
SIZES = 3  # runs that make a budget
MOST_BUDGETS = 10
Vertex = tuple[float, float | None, float | None, float | None, str | None]


@style.styled
def contour_picture(fit: Fit, *, target: str | None = None) -> "Figure":
    """Return contours of the law's loss over N and D with the runs, isoFLOP lines of C = 6 N D, and the optimal line with its 95 % interval.

    Raises:
        InputError: the law is not one of loss in params and tokens.
    """
    _needs_split(fit, "contours")
    params, tokens = column(fit, "params"), column(fit, "tokens")
    compute = six_nd(params, tokens)
    figure = style.new_figure(5.6)
    axes = figure.subplots()
    (n_low, n_high), (d_low, d_high) = _range(params), _range(tokens)
    n, d = np.meshgrid(np.geomspace(n_low, n_high, GRID), np.geomspace(d_low, d_high, GRID))
    loss = fit.predict(*columns_of(fit, n.ravel(), d.ravel())).reshape(n.shape)
    _isoflops(axes, (n_low, n_high), (d_low, d_high))
    style.points(axes, params, tokens, color=style.SKY, label=f"runs ({len(params):,})")
    notes = _optimal_line(fit, axes, compute.min(), compute.max())
    if "unique_tokens" in fit.form.variables:
        notes.append("Contours are of tokens that are all unique.")
    style.log_axis(axes, "x", n_low, n_high, "count", pad=0)
    style.log_axis(axes, "y", d_low, d_high, "count", pad=0)
    axes.set_xlabel(style.LABELS["params"])
    axes.set_ylabel(style.LABELS["tokens"])
    axes.set_title("\n".join(["Loss over parameters and tokens", *notes]))
    axes.plot([], [], color=style.sequence()(0.4), lw=1.3, label=target_name(fit, target))
    style.legend(figure, axes)
    if loss.max() > loss.min() * (1 + 1e-9):
        levels = style.log_ticks(loss.min(), loss.max(), LEVELS)
        lines = axes.contour(
            n, d, loss, levels=levels, cmap=style.sequence().reversed(), norm="log", linewidths=1.3, zorder=2
        )
        figure.get_layout_engine().execute(figure)  # labels break their lines by where the axes are by now
        for text in axes.clabel(lines, fmt=style.number, fontsize=8.5, inline_spacing=3):
            text.set_color(style.TEXT)
    return figure


@style.styled
def isoflop_picture(
    fit: Fit, *, vertices: Sequence[Vertex] = (), budgets: Sequence[float] | None = None, target: str | None = None
) -> "Figure":
    """Return the fan: the law's loss against N at each budget of C = 6 N D, with the runs of that budget.

    Args:
        vertices: of isoFLOP parabolas, as (budget, N, low, high, why it is refused or None), drawn at the law's loss; N, low and high may be
            None.
        budgets: in FLOPs; by default those of the vertices, else those about which three or more runs lie, else six over the range.

    Raises:
        InputError: the law is not one of loss in params and tokens, or a budget that is not positive.
    """
    _needs_split(fit, "isoFLOP curves")
    params, tokens, y = column(fit, "params"), column(fit, "tokens"), observed(fit)
    compute = six_nd(params, tokens)
    chosen = budgets if budgets is not None else sorted({float(v[0]) for v in vertices}) or find_budgets(compute)
    chosen = np.array(sorted(chosen), dtype=float)
    if not (len(chosen) and np.isfinite(chosen).all() and (chosen > 0).all()):
        raise InputError(f"budgets are {chosen.tolist()}, expected positive finite FLOPs")
    dropped, chosen = len(chosen), _thinned(chosen)
    dropped -= len(chosen)
    figure = style.new_figure(5.4)
    axes = figure.subplots()
    nearest = np.abs(np.log(compute[:, None] / chosen)).argmin(1)
    near = np.abs(np.log(compute / chosen[nearest])) < SPREAD / 2
    colours = style.sequence()(np.linspace(0, 1, len(chosen))) if len(chosen) > 1 else [style.BLUE]
    ends_of = _range(params)
    shown = [y[near]]
    for i, (budget, colour) in enumerate(zip(chosen, colours, strict=True)):
        mine = near & (nearest == i)
        low, high = _range(params[mine]) if mine.sum() >= SIZES else ends_of
        sizes = np.geomspace(low, high, GRID)
        losses = fit.predict(*columns_of(fit, sizes, tokens_for(sizes, budget)))
        axes.plot(sizes, losses, color=colour, lw=1.5, label=style.power(budget))
        style.points(axes, params[mine], y[mine], color=[colour], s=14)
        inside = (y[mine].min(), y[mine].max()) if mine.any() else (losses.min(), 1.3 * losses.min())
        shown.append(losses[(losses > inside[0] / 1.2) & (losses < inside[1] * 1.2)])
    notes = _best_sizes(fit, axes, chosen)
    _vertices(fit, axes, [v for v in vertices if float(v[0]) in chosen])
    if dropped:
        notes.append(f"{dropped} budgets in between are not drawn.")
    if not near.all():
        notes.append(f"{(~near).sum():,} of {len(y):,} runs lie at none of these budgets and are not drawn.")
    style.log_axis(axes, "x", *ends_of, "count")
    losses = np.concatenate(shown)
    style.log_axis(axes, "y", losses.min(), losses.max())
    axes.set_xlabel(style.LABELS["params"])
    axes.set_ylabel(target_name(fit, target))
    axes.set_title("\n".join(["Loss against size at fixed compute C (FLOPs): curves are the law", *notes]))
    style.legend(figure, axes, columns=5)
    return figure


def find_budgets(compute: np.ndarray) -> list[float]:
    """Return the budgets about which the runs' FLOPs (rows,) gather; if they gather nowhere, six over their range.

    A budget is a window of WINDOW in log C with SIZES runs or more, and GATHERED times as many as runs spread evenly would have.
    """
    left = np.sort(np.log(compute))
    room = left[-1] - left[0]
    least = max(SIZES, GATHERED * len(left) * WINDOW / max(room, WINDOW) if room > SPREAD else 0)
    found = []
    while len(left):
        counts = np.searchsorted(left, left + WINDOW, side="right") - np.arange(len(left))
        first = int(counts.argmax())
        if counts[first] < least:
            break
        centre = float(np.median(left[first : first + counts[first]]))
        found.append(centre)
        left = left[np.abs(left - centre) > SPREAD / 2]
    if not found:
        found = np.linspace(np.log(compute.min()), np.log(compute.max()), 6 if room > 0.01 else 1).tolist()
    return np.exp(sorted(found)).tolist()


def _thinned(budgets: np.ndarray) -> np.ndarray:
    if len(budgets) <= MOST_BUDGETS:
        return budgets
    return budgets[np.linspace(0, len(budgets) - 1, MOST_BUDGETS).round().astype(int)]


def _needs_split(fit: Fit, what: str) -> None:
    if not splits_compute(fit):
        raise InputError(
            f"{what} need a law of loss in params and tokens, this one is in {', '.join(fit.form.variables)}: {fit.form.equation}"
        )


def _range(values: np.ndarray) -> tuple[float, float]:
    room = (values.max() / values.min()) ** 0.08
    return values.min() / max(room, 1.15), values.max() * max(room, 1.15)


def _isoflops(axes: "Axes", n_range: tuple[float, float], d_range: tuple[float, float]) -> None:
    low, high = six_nd(n_range[0], d_range[0]), six_nd(n_range[1], d_range[1])
    decades = [10.0**k for k in range(int(np.ceil(np.log10(low))), int(np.floor(np.log10(high))) + 1)]
    label = "C = 6 N D (FLOPs)"
    for compute in decades[:: max(1, -(-len(decades) // 8))]:
        n = np.array(n_range)
        axes.plot(n, compute / (6 * n), color=style.QUIET, lw=0.8, ls=(0, (4, 3)), label=label, zorder=1.8)
        label = None
        top = d_range[1] / (d_range[1] / d_range[0]) ** 0.035
        n_at = max(
            n_range[0] * (n_range[1] / n_range[0]) ** 0.01, compute / (6 * top)
        )  # where the line enters, at the left or the top
        d_at = compute / (6 * n_at)
        if (
            d_at > d_range[0] * (d_range[1] / d_range[0]) ** 0.04
            and n_at < n_range[1] / (n_range[1] / n_range[0]) ** 0.06
        ):
            axes.annotate(
                style.power(compute),
                (n_at, d_at),
                (5, 1),
                textcoords="offset points",
                fontsize=8,
                color=style.QUIET,
                va="center",
            )


def _optimal_line(fit: Fit, axes: "Axes", low: float, high: float) -> list[str]:
    found, why = frontier(fit, low, high)
    if not found:
        return textwrap.wrap("No optimal line: " + style.plain(why, 250), 95)
    compute, best = np.array([(one.compute, one.params.value) for one in found]).T
    least, most = ends(found, "params")
    notes = []
    if np.isfinite(least).all() and np.isfinite(most).all():
        edge = np.concatenate([least, most[::-1]]), np.concatenate([compute, compute[::-1]])
        axes.fill(
            edge[0],
            edge[1] / (6 * edge[0]),
            color=style.ORANGE,
            alpha=0.25,
            lw=0,
            label="95 % interval of N*(C)",
            zorder=2.6,
        )
    else:
        notes.append(
            "No interval of the optimum: "
            + ("some refits have no optimal split." if len(fit.samples) else "no bootstrap.")
        )
    axes.plot(best, compute / (6 * best), color=style.ORANGE, lw=2.2, label="optimum N*(C), D*(C)", zorder=2.7)
    return notes


def _best_sizes(fit: Fit, axes: "Axes", budgets: np.ndarray) -> list[str]:
    found, why = frontier(fit, budgets[0], budgets[-1])
    if not found:
        return textwrap.wrap("No optimum: " + style.plain(why, 250), 95)
    sizes, losses = np.array([(one.params.value, one.loss.value) for one in found]).T
    axes.plot(sizes, losses, color=style.ORANGE, lw=1.6, ls="--", label="law's optimum", zorder=2.8)
    return []


def _vertices(fit: Fit, axes: "Axes", vertices: Sequence[Any]) -> None:
    kinds = {None: ([], "D", "vertex of the parabola")}
    for budget, size, low, high, refused in vertices:
        if size is None:
            continue
        where = kinds.setdefault(refused, ([], "X", style.plain(f"refused: {refused}", 45)))[0]
        (loss,) = fit.predict(*columns_of(fit, np.array([size]), tokens_for(np.array([size]), budget)))
        where.append((size, loss))
        if low is not None and high is not None:
            axes.plot([low, high], [loss, loss], color=style.TEXT, lw=1.2, zorder=3, solid_capstyle="butt")
    for where, marker, label in kinds.values():
        if where:
            colour = style.YELLOW if marker == "D" else style.PAPER
            axes.scatter(
                *np.transpose(where),
                marker=marker,
                s=42,
                color=colour,
                edgecolors=style.TEXT,
                linewidths=0.9,
                label=label,
                zorder=3.2,
            )
