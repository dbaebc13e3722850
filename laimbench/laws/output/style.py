"""How all pictures look: colours, ticks, labels, and bytes that repeat. The only file that imports matplotlib.

Colours of data are Okabe & Ito 2008 (distinct under all common colour blindness); TEXT, QUIET, GRID and PAPER appear nowhere else, so that
a page may put its own in their place.
"""

import functools
import io
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from laimbench.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

TEXT, QUIET, GRID, PAPER = "#1c2329", "#5c6b77", "#d8dee3", "#fefefe"
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"
WIDTH, DPI = 7.0, 200  # inches; 700 px at 100 dots per inch, PNGs are twice as fine
RASTER_FROM = 2_000  # marks of one kind beyond which an SVG holds them as an image
LABELS = {
    "params": "parameters N", "tokens": "training tokens D", "flops": "training compute C (FLOPs)", "unique_tokens": "unique tokens U",
    "tokens_per_param": "tokens per parameter",
}  # fmt: skip
KINDS = {"params": "count", "tokens": "count", "unique_tokens": "count", "flops": "flops"}
RC = {
    "font.family": "DejaVu Sans", "font.size": 10, "axes.titlesize": 10, "axes.labelsize": 10, "xtick.labelsize": 9,
    "ytick.labelsize": 9, "legend.fontsize": 9, "text.color": TEXT, "axes.labelcolor": TEXT, "axes.titlecolor": TEXT,
    "axes.edgecolor": QUIET, "xtick.color": QUIET, "ytick.color": QUIET, "xtick.labelcolor": TEXT, "ytick.labelcolor": TEXT,
    "figure.facecolor": PAPER, "axes.facecolor": PAPER, "savefig.facecolor": PAPER, "axes.grid": True, "grid.color": GRID,
    "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
    "legend.frameon": False, "legend.handlelength": 1.6, "lines.linewidth": 1.8, "svg.fonttype": "path", "svg.hashsalt": "laimbench",
}  # fmt: skip


def context() -> AbstractContextManager:
    """Return the context in which pictures are made and written: matplotlib's defaults and RC, nothing of the user's.

    Raises:
        InputError: there is no matplotlib.
    """
    try:
        from matplotlib import style
    except ImportError:
        raise InputError("pictures need the package matplotlib: pip install 'laimbench[plots]'") from None
    return style.context(["default", RC])


def styled(function: Callable[..., "Figure"]) -> Callable[..., "Figure"]:
    """Run a function that makes a figure in ``context``."""

    @functools.wraps(function)
    def inside(*arguments: Any, **options: Any) -> "Figure":
        with context():
            return function(*arguments, **options)

    return inside


def new_figure(height: float = 4.6) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=100, layout="constrained")


def render(figure: "Figure", form: str) -> bytes:
    """Return a figure as "png", "svg" or "pdf"; the same figure gives the same bytes.

    Raises:
        InputError: another format.
    """
    nameless = {
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Producer": None},
    }
    if form not in nameless:
        raise InputError(f"picture format is {form!r}, expected one of {', '.join(nameless)}")
    stream = io.BytesIO()
    with context():
        figure.savefig(stream, format=form, dpi=DPI, metadata=nameless[form])
    return stream.getvalue()


def sequence() -> "Colormap":
    """Return the colours of ordered things: viridis without its palest part."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["viridis"](np.linspace(0.0, 0.88, 256)))


def plain(text: Any, most: int = 70) -> str:
    """Return a user's text as matplotlib shows it literally: no formulas, nothing unprintable, of limited length."""
    shown = "".join(c if c.isprintable() else "?" for c in str(text))
    shown = shown if len(shown) <= most else shown[: most - 1] + "…"
    return shown.replace("$", r"\$")


def label_of(variable: str) -> str:
    return LABELS.get(variable, plain(variable, 40))


def points(axes: "Axes", x: Any, y: Any, **options: Any) -> Any:
    """Scatter runs; many of them become an image within an SVG, smaller and lighter."""
    crowded = len(x) > RASTER_FROM
    look = {
        "s": 6 if crowded else 20,
        "alpha": 0.5 if crowded else 0.85,
        "linewidths": 0.0 if crowded else 0.4,
        "edgecolors": TEXT,
        "zorder": 2.5,
    }
    return axes.scatter(x, y, rasterized=crowded, **look | options)


def legend(figure: "Figure", *axes: "Axes", columns: int = 3) -> None:
    """Put one legend of what all axes name below them, where it hides nothing."""
    found = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        figure.legend(found.values(), found.keys(), loc="outside lower left", ncols=columns)


def size_bar(figure: "Figure", axes: "Axes", mappable: Any, values: np.ndarray, variable: str) -> None:
    """Add the colour bar of a logarithmic variable."""
    bar = figure.colorbar(mappable, ax=axes, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    bar.minorticks_off()
    ticks = log_ticks(float(values.min()), float(values.max()))
    bar.set_ticks(ticks, labels=tick_labels(ticks, KINDS.get(variable, "plain")))
    bar.set_label(label_of(variable))


def log_axis(
    axes: "Axes", which: str, low: float, high: float, kind: str = "plain", *, most: int = 7, pad: float = 0.04
) -> None:
    """Make an axis ("x" or "y") logarithmic over low to high with ticks that do not crowd.

    kind: "plain" numbers (losses), "count" (1M, 10B), "flops" (powers of ten).
    """
    from matplotlib.ticker import NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    room = max(math.log10(high / low), 1e-3)
    ends = low / 10 ** (pad * room), high * 10 ** (pad * room)
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(*ends)
    ticks = log_ticks(*ends, most)
    axis.set_ticks(ticks, labels=tick_labels(ticks, kind))
    axis.set_ticks(_minor(*ends) if room < 8 else [], minor=True)
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="minor", length=2)


def log_ticks(low: float, high: float, most: int = 7) -> np.ndarray:
    """Return at most that many round numbers of low to high, at least two where the range has them, well apart on a log scale."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades, room = np.arange(first, last + 1), math.log10(high / low)
    grids = []
    if room > 0.5:
        grids += [
            [m * 10.0**d for d in decades for m in mantissas]
            for mantissas in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
        ]
        grids += [[10.0**d for d in decades if d % every == 0] for every in (2, 3, 5, 10, 20, 50, 100)]
    if room < 1.2:  # narrow: round steps as on a linear axis, finest first
        top = math.ceil(math.log10(high - low)) if high > low else last
        steps = [m * 10.0**d for d in range(top - 3, top + 1) for m in (1, 2, 2.5, 5)]
        linear = [
            step * np.arange(math.ceil(low / step), math.floor(high / step) + 1)
            for step in steps
            if (high - low) / step < 50
        ]
        grids = linear + grids
    inside = [g[(g >= low * (1 - 1e-12)) & (g <= high * (1 + 1e-12))] for g in map(np.asarray, grids)]
    for grid in inside:
        if 2 <= len(grid) <= most and np.diff(np.log10(grid)).min() >= 0.7 * room / most:
            return grid
    return next((grid for grid in inside if 1 <= len(grid) <= most), np.array([math.sqrt(low * high)]))


def _minor(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [m * 10.0**d for d in decades for m in range(1, 10) if low <= m * 10.0**d <= high]


def tick_labels(values: Sequence[float] | np.ndarray, kind: str) -> list[str]:
    return [{"count": count, "flops": power}.get(kind, number)(float(value)) for value in values]


def number(value: float) -> str:
    """Return 0.5, 2.75, 1200; powers of ten far from one."""
    return f"{value:.6g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else power(value)


def count(value: float) -> str:
    """Return 70M, 1.5B, 2T; powers of ten where nobody has a letter."""
    for scale, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if scale <= abs(value) * (1 + 1e-9) < 1e15:
            return f"{value / scale:.3g}{letter}"
    return number(value)


def power(value: float) -> str:
    """Return 10^20 or 3 x 10^20 as a formula."""
    digits, exponent = f"{value:.2e}".split("e")
    digits = digits.rstrip("0").rstrip(".")
    return rf"$10^{{{int(exponent)}}}$" if digits == "1" else rf"${digits}{{\times}}10^{{{int(exponent)}}}$"
