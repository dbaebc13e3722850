"""Pictures of a fit against its data: the law with its band, and the residuals."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from laimbench.errors import InputError
from laimbench.laws.fit import Fit
from laimbench.laws.output import style
from laimbench.laws.planning.allocation import Allocation, allocate, is_closed_form, six_nd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE = 160  # points of a curve
FRONTIER = (60, 13)  # computes at which optima are found: in closed form, by search
TENTHS_FROM = 40  # rows from which residuals get medians of tenths
NARROW = 3  # panels of residuals that stand in one row


@style.styled
def fit_picture(fit: Fit, *, target: str | None = None) -> "Figure":
    """Return the law and its data, with the 95 % band of the law (not of new runs) where the fit has a bootstrap.

    A law in one variable: loss against it. A law in params and tokens: loss against C = 6 N D, runs coloured by size, and the law's least
    loss at each compute. Any other: observed against fitted.

    Args:
        target: what the law is of, by default "loss (nats per token)", or "metric" for a bounded one.
    """
    figure = style.new_figure(5.0)
    axes = figure.subplots()
    name = target_name(fit, target)
    if len(fit.form.variables) == 1:
        notes = _one_variable(fit, axes, name)
    elif splits_compute(fit):
        notes = _frontier(fit, figure, axes, name)
    else:
        notes = _fitted(fit, axes, name)
    axes.set_title(title_of(fit, notes))
    style.legend(figure, axes)
    return figure


@style.styled
def residual_picture(fit: Fit) -> "Figure":
    """Return residuals (log loss, or the metric, observed less law) against the fitted, each variable, and quantiles of the normal."""
    used = fit.weights > 0
    residual = -fit.residuals[used]
    fitted = observed(fit)[used] if not used.any() else _on_scale(fit, fit.problem.y[used] - residual)
    panels = [("fitted", fitted, "plain"), *((v, np.exp(x[used]), style.KINDS.get(v, "plain")) for v, x in
              zip(fit.form.variables, fit.problem.log_x, strict=True))]  # fmt: skip
    count = len(panels) + 1
    columns = count if count <= NARROW else 2
    rows = -(-count // columns)
    figure = style.new_figure(2.9 * rows + 0.7)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, (variable, x, kind) in zip(grid, panels, strict=False):
        style.points(axes, x, residual, color=style.BLUE, label="runs")
        if len(x) >= TENTHS_FROM:
            axes.plot(*tenths(x, residual), "-o", color=style.ORANGE, ms=3, lw=1.3, label="medians of tenths", zorder=3)
        if variable == "fitted" and fit.form.link != "log":
            axes.set_xlabel("fitted metric")
        else:
            style.log_axis(axes, "x", x.min(), x.max(), kind, most=5)
            axes.set_xlabel("fitted loss" if variable == "fitted" else style.label_of(variable))
    normal = grid[len(panels)]
    _quantiles(normal, residual)
    for axes in grid[:count]:
        axes.axhline(0, color=style.QUIET, lw=0.9, zorder=1.5)
        if np.isfinite(fit.delta):
            for side in (-1, 1):
                axes.axhline(
                    side * fit.delta, color=style.QUIET, lw=0.8, ls=":", zorder=1.5, label=f"± delta = {fit.delta:g}"
                )
    for axes in grid[count:]:
        axes.set_visible(False)
    for axes in grid[:count:columns]:
        axes.set_ylabel(("log loss" if fit.form.link == "log" else "metric") + ", observed − law")
    style.legend(figure, grid[0], normal, columns=4)
    return figure


def target_name(fit: Fit, target: str | None) -> str:
    return style.plain(target, 40) if target else "loss (nats per token)" if fit.form.link == "log" else "metric"


def title_of(fit: Fit, notes: list[str]) -> str:
    """Return the equation, its parameters, and the gravest warning."""
    parameters = ", ".join(f"{name} = {value:.4g}" for name, value in fit.params.items())
    lines = [style.plain(fit.form.equation, 95), *textwrap.wrap(parameters, 95)]
    if fit.warnings:
        more = f" (+{len(fit.warnings) - 1} more)" if len(fit.warnings) > 1 else ""
        lines += textwrap.wrap("Warning: " + fit.warnings[0] + more, 95)[:3]
    return "\n".join([*lines, *notes])


def splits_compute(fit: Fit) -> bool:
    return fit.form.link == "log" and {"params", "tokens"} <= set(fit.form.variables)


def column(fit: Fit, variable: str) -> np.ndarray:
    """Return a variable's column, (rows,)."""
    return np.exp(fit.problem.log_x[fit.form.variables.index(variable)])


def observed(fit: Fit) -> np.ndarray:
    """Return the losses (or metrics) that were fitted, (rows,)."""
    return _on_scale(fit, fit.problem.y)


def _on_scale(fit: Fit, value: np.ndarray) -> np.ndarray:
    return np.exp(value) if fit.form.link == "log" else np.asarray(value)


def frontier(fit: Fit, low: float, high: float) -> tuple[list[Allocation], str]:
    """Return the law's optima from low to high FLOPs, and in words why some or all are missing."""
    found, why = [], ""
    try:
        count = FRONTIER[0] if is_closed_form(fit, six_nd) else FRONTIER[1]
    except InputError as error:
        return [], str(error)
    for compute in np.geomspace(low, high, count):
        try:
            found.append(allocate(fit, float(compute)))
        except InputError as error:
            why = str(error)
    return found, why


def ends(found: list[Allocation], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of a quantity along the frontier, NaN where there is none."""
    pairs = [(getattr(one, name).low, getattr(one, name).high) for one in found]
    low, high = np.array([[np.nan if end is None else end for end in pair] for pair in pairs]).T
    return low, high


def _one_variable(fit: Fit, axes: "Axes", name: str) -> list[str]:
    (variable,), notes = fit.form.variables, []
    x, y = column(fit, variable), observed(fit)
    room = (x.max() / x.min()) ** 0.06 if x.max() > x.min() else 2.0
    curve = np.geomspace(x.min() / room, x.max() * room, CURVE)
    values = fit.predict(curve)
    shown = [y, values]
    axes.plot(curve, values, color=style.BLUE, label="law")
    if len(fit.samples):
        low, high = fit.band(curve)
        axes.fill_between(curve, low, high, color=style.BLUE, alpha=0.22, lw=0, label="95 % band of the law")
        shown += [low, high]
    else:
        notes.append("No bootstrap: no band.")
    _runs(axes, x, y, fit.weights, color=style.ORANGE)
    offset = fit.params.get("E", 0.0) if fit.form.link == "log" else 0.0
    if offset > 0.7 * y.min():
        axes.axhline(offset, color=style.QUIET, ls="--", lw=1, label=f"irreducible loss E = {offset:.4g}")
        shown.append(np.array([offset]))
    style.log_axis(axes, "x", curve[0], curve[-1], style.KINDS.get(variable, "plain"), pad=0)
    axes.set_xlabel(style.label_of(variable))
    _value_axis(fit, axes, np.concatenate(shown), y, name)
    return notes


def _value_axis(fit: Fit, axes: "Axes", shown: np.ndarray, y: np.ndarray, name: str) -> None:
    """Show all of the data, and of curves and bands what is not far off them."""
    axes.set_ylabel(name)
    if fit.form.link == "log":
        room = max((y.max() / y.min()) ** 0.6, 1.02)
        shown = shown[np.isfinite(shown)]
        style.log_axis(axes, "y", max(shown.min(), y.min() / room), min(shown.max(), y.max() * room))
    else:
        axes.set_ylim(min(0.0, y.min()) - 0.02, max(1.0, y.max()) + 0.02)


def _runs(axes: "Axes", x: np.ndarray, y: np.ndarray, weights: np.ndarray, **look) -> None:
    used = weights > 0
    style.points(axes, x[used], y[used], label=f"runs ({used.sum():,})", **look)
    if not used.all():
        style.points(
            axes,
            x[~used],
            y[~used],
            color="none",
            edgecolors=style.QUIET,
            linewidths=0.8,
            label=f"weight 0 ({(~used).sum():,})",
        )


def _frontier(fit: Fit, figure: "Figure", axes: "Axes", name: str) -> list[str]:
    params, tokens, y = column(fit, "params"), column(fit, "tokens"), observed(fit)
    compute, notes = six_nd(params, tokens), []
    found, why = frontier(fit, compute.min(), compute.max())
    shown = [y]
    if found:
        best, loss = np.array([(one.compute, one.loss.value) for one in found]).T
        low, high = ends(found, "loss")
        axes.plot(best, loss, color=style.ORANGE, label="law's least loss at each compute", zorder=2.7)
        shown.append(loss)
        if np.isfinite(low).all() and np.isfinite(high).all():
            axes.fill_between(best, low, high, color=style.ORANGE, alpha=0.3, lw=0, label="its 95 % band", zorder=2.6)
            shown += [low, high]
        else:
            notes.append("No band: " + ("some refits have no optimal split." if len(fit.samples) else "no bootstrap."))
    else:
        notes += textwrap.wrap("No frontier: " + style.plain(why, 250), 95)
    used = fit.weights > 0
    spots = style.points(
        axes, compute[used], y[used], c=params[used], cmap=style.sequence(), norm="log", label=f"runs ({used.sum():,})"
    )
    style.size_bar(figure, axes, spots, params[used], "params")
    style.log_axis(axes, "x", compute.min(), compute.max(), "flops")
    axes.set_xlabel("training compute C = 6 N D (FLOPs)")
    _value_axis(fit, axes, np.concatenate(shown), y, name)
    return notes


def _fitted(fit: Fit, axes: "Axes", name: str) -> list[str]:
    y, fitted = observed(fit), _on_scale(fit, fit.problem.y + fit.residuals)
    low, high = min(y.min(), fitted.min()), max(y.max(), fitted.max())
    axes.plot([low, high], [low, high], color=style.BLUE, label="observed = fitted", zorder=2)
    _runs(axes, fitted, y, fit.weights, color=style.ORANGE)
    if fit.form.link == "log":
        style.log_axis(axes, "x", low, high)
        style.log_axis(axes, "y", low, high)
    axes.set_xlabel(f"fitted {name}")
    axes.set_ylabel(f"observed {name}")
    return []


def tenths(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the medians of x and y in ten parts of as many rows, by x."""
    parts = np.array_split(np.argsort(x, kind="stable"), 10)
    return np.array([np.median(x[p]) for p in parts]), np.array([np.median(y[p]) for p in parts])


def _quantiles(axes: "Axes", residual: np.ndarray) -> None:
    count = len(residual)
    normal = ndtri((np.arange(count) + 0.5) / count)
    style.points(axes, normal, np.sort(residual), color=style.BLUE, label="runs")
    quarters = np.quantile(residual, (0.25, 0.5, 0.75))
    scale = (quarters[2] - quarters[0]) / (2 * ndtri(0.75))
    axes.plot(
        normal[[0, -1]], quarters[1] + scale * normal[[0, -1]], color=style.GREEN, lw=1.3, label="normal, by quartiles"
    )
    axes.set_xlabel("quantiles of the normal")
