"""Pictures of what a fit does not know: profiles of its parameters, and their bootstrap refits against each other."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtri

from laimbench.errors import InputError
from laimbench.laws.fit import Fit
from laimbench.laws.likelihood import Profile, profile
from laimbench.laws.output import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CUT = 2.2  # of a profile, in thresholds
FAR = 4.0  # times the range of 99 % of the refits, beyond which stray ones are not shown
DECADES = 60.0  # a profile that runs to a limit at infinity is shown so far


@style.styled
def profile_picture(fit: Fit, profiles: Mapping[str, Profile] | None = None) -> "Figure":
    """Return the profile of every free parameter: its quasi-likelihood ratio, the threshold, the interval, and where it is open.

    Args:
        profiles: by name, as ``likelihood.profile`` returns them; made here if not given.

    Raises:
        InputError: an unknown parameter.
    """
    found = profiles if profiles is not None else {name: profile(fit, name) for name in _free(fit)}
    for name in found:
        if name not in fit.form.names:
            raise InputError(f"profile of {name!r}, expected some of {', '.join(fit.form.names)}")
    if not found:
        raise InputError("no profiles, expected one or more")
    columns = min(len(found), 3)
    rows = -(-len(found) // columns)
    figure = style.new_figure(2.5 * rows + 0.6)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, (name, one) in zip(grid, found.items(), strict=False):
        _profile(fit, axes, name, one)
    for axes in grid[len(found) :]:
        axes.set_visible(False)
    for axes in grid[: len(found) : columns]:
        axes.set_ylabel("likelihood ratio")
    style.legend(figure, *grid[: len(found)], columns=4)
    return figure


@style.styled
def bootstrap_picture(fit: Fit) -> "Figure":
    """Return the bootstrap's parameters as a matrix: each pair's refits with the estimate, distributions with the 95 % interval on the
    diagonal, rank correlations above.

    Raises:
        InputError: the fit has no bootstrap samples.
    """
    if not len(fit.samples):
        raise InputError("the fit has no bootstrap samples, expected bootstrap > 0 and more runs than parameters")
    names = _free(fit)
    samples, logs = fit.sample_params, {p.name for p in fit.form.parameters if p.kind == "log"}
    shown = {name: _shown(samples[name], fit.params[name], name in logs) for name in names}
    size = len(names)
    figure = style.new_figure(2.6 if size == 1 else min(1.55 * size + 0.7, 9.0))
    grid = figure.subplots(size, size, squeeze=False)
    outside = np.zeros(len(fit.samples), bool)
    for name in names:
        outside |= (samples[name] < shown[name][0]) | (samples[name] > shown[name][1])
    for i, row in enumerate(names):
        for j, col in enumerate(names):
            axes = grid[i, j]
            if i == j:
                _distribution(fit, axes, col, shown[col], col in logs)
            elif j < i:
                style.points(
                    axes, samples[col], samples[row], color=style.BLUE, s=7, alpha=0.4, linewidths=0, label="refits"
                )
                axes.plot(
                    fit.params[col],
                    fit.params[row],
                    "P",
                    color=style.ORANGE,
                    ms=7,
                    mec=style.PAPER,
                    mew=0.7,
                    label="estimate",
                    zorder=4,
                )
                _scale(axes, "y", shown[row], row in logs)
            else:
                _correlation(axes, samples[col], samples[row])
                continue
            _scale(axes, "x", shown[col], col in logs)
            axes.tick_params(labelbottom=i == size - 1, labelleft=j == 0 and i > 0, labelsize=8)
            if i == size - 1:
                axes.set_xlabel(style.plain(col, 20))
            if j == 0 and i > 0:
                axes.set_ylabel(style.plain(row, 20))
    title = (
        f"{len(fit.samples):,} refits of the bootstrap ({fit.resampling.kind}); above the diagonal rank correlations"
    )
    figure.suptitle(
        title + (f"; {outside.sum()} far out are not shown" if outside.any() else ""), x=0.01, ha="left", fontsize=10
    )
    style.legend(figure, grid[-1, 0], grid[-1, -1], columns=4)
    return figure


def _free(fit: Fit) -> list[str]:
    return [name for name, free in zip(fit.form.names, fit.problem.free, strict=True) if free]


def _profile(fit: Fit, axes: "Axes", name: str, one: Profile) -> None:
    threshold, kind = float(chdtri(1, 1 - one.level)), fit.form.parameters[fit.form.names.index(name)].kind
    estimate, (low, high) = fit.params[name], one.interval
    near = np.flatnonzero(one.ratios <= CUT * threshold)
    first, last = max(near.min() - 1, 0), min(near.max() + 1, len(one.values) - 1)
    values, ratios = one.values[first : last + 1], one.ratios[first : last + 1]
    logarithmic = kind == "log" and (values > 0).all()
    if logarithmic:
        near = np.abs(np.log10(values / estimate)) <= DECADES
        values, ratios = values[near], ratios[near]
    left, right = (values[0] if low is None else low), (values[-1] if high is None else high)
    axes.axvspan(left, right, color=style.SKY, alpha=0.3, lw=0, label=f"{one.level:.0%} interval".replace("%", " %"))
    axes.axhline(threshold, color=style.QUIET, ls="--", lw=1, label=f"threshold {threshold:.2f}")
    axes.plot(values, ratios, color=style.BLUE, label="profile")
    axes.plot(
        estimate, 0, "P", color=style.ORANGE, ms=8, mec=style.PAPER, mew=0.7, label="estimate", zorder=3, clip_on=False
    )
    for end, x, side in ((low, 0.03, "left"), (high, 0.97, "right")):
        if end is None:
            text = "← open" if side == "left" else "open →"
            axes.text(
                x,
                0.92,
                text,
                transform=axes.transAxes,
                ha=side,
                va="top",
                color=style.ORANGE,
                fontweight="bold",
                fontsize=9,
            )
    axes.set_ylim(0, CUT * threshold)
    axes.set_xlabel(style.plain(name, 30))
    if values[-1] > values[0]:
        _scale(axes, "x", (values[0], values[-1]), logarithmic, most=4)


def _shown(values: np.ndarray, estimate: float, logarithmic: bool) -> tuple[float, float]:
    """Return the range to show: all refits, unless a few are far beyond the others."""
    there = np.log(np.maximum(values, 1e-300)) if logarithmic else values
    centre = np.log(max(estimate, 1e-300)) if logarithmic else estimate
    low, high = np.quantile(there, (0.005, 0.995))
    room = FAR * max(high - low, 1e-12)
    inside = there[(there >= low - room) & (there <= high + room)]
    first, last = min(inside.min(), centre), max(inside.max(), centre)
    if not last > first:
        first, last = first - 1e-3 * max(abs(first), 1e-6), last + 1e-3 * max(abs(last), 1e-6)
    return (float(np.exp(first)), float(np.exp(last))) if logarithmic else (float(first), float(last))


def _scale(axes: "Axes", which: str, ends: tuple[float, float], logarithmic: bool, most: int = 3) -> None:
    if logarithmic:
        return style.log_axis(axes, which, *ends, most=most)
    from matplotlib.ticker import MaxNLocator

    room = 0.04 * (ends[1] - ends[0])
    (axes.set_xlim if which == "x" else axes.set_ylim)(ends[0] - room, ends[1] + room)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))
    return None


def _distribution(fit: Fit, axes: "Axes", name: str, ends: tuple[float, float], logarithmic: bool) -> None:
    bins = np.geomspace(*ends, 25) if logarithmic else np.linspace(*ends, 25)
    axes.hist(fit.sample_params[name], bins=bins, color=style.BLUE, alpha=0.55)
    axes.axvline(fit.params[name], color=style.ORANGE, lw=1.6, label="estimate" if len(fit.params) == 1 else None)
    if name in fit.intervals:
        for end in fit.intervals[name]:
            axes.axvline(end, color=style.QUIET, ls="--", lw=1.1, label="95 % interval (BCa)")
    axes.set_yticks([])
    axes.grid(False)


def _correlation(axes: "Axes", x: np.ndarray, y: np.ndarray) -> None:
    axes.set_axis_off()
    ranks = [np.argsort(np.argsort(v, kind="stable"), kind="stable") for v in (x, y)]
    if np.ptp(x) > 0 and np.ptp(y) > 0:
        text = f"{np.corrcoef(*ranks)[0, 1]:+.2f}".replace("-", "−")
        axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=style.QUIET)
