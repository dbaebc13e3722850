"""The picture of quality control: which runs are kept and dropped, and what the law is with and without them."""

from typing import TYPE_CHECKING

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.forms import CHINCHILLA, POWER_LAW
from laimbench.laws.output import style
from laimbench.laws.planning.allocation import best_loss
from laimbench.laws.planning.law import KnownLaw
from laimbench.laws.quality import RULES, Review
from laimbench.laws.table import TRIO, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS = {
    code: {"marker": marker, "color": colour}
    for code, marker, colour in zip(
        RULES,
        "<^Xsv*D",
        (style.TEXT, style.GREEN, style.ORANGE, style.YELLOW, style.PURPLE, style.BLUE, style.ORANGE),
        strict=True,
    )
}
LAWS = {form.equation: form for form in (CHINCHILLA, POWER_LAW)}
CURVE = 60


@style.styled
def quality_picture(review: Review, table: Table, *, target: str = "loss") -> "Figure":
    """Return the runs of a table by reason code, and the law with and without the outliers where the review fitted it.

    Args:
        review: what ``quality.review`` said of the table.
        target: the column of results.

    Raises:
        InputError: the review is of another table, or it has no column of FLOPs, params or tokens.
    """
    if len(review.codes) != len(table):
        raise InputError(
            f"the review is of {len(review.codes)} rows and the table has {len(table)}, expected the same table"
        )
    table.needs(target)
    against = next((name for name in ("flops", "params", "tokens") if name in table.columns), None)
    if against is None:
        raise InputError(f"{table.source}: none of {', '.join(TRIO)}, expected one to draw the runs against")
    x, y = (np.asarray(table.columns[name], dtype=float) for name in (against, target))
    there = np.isfinite(x) & (x > 0) & np.isfinite(y) & ((y > 0) | (target != "loss"))
    if not there.any():
        raise InputError(f"{table.source}: no run has both {against} and {target}, expected some to draw")
    figure = style.new_figure(5.0)
    axes = figure.subplots()
    for code, count in review.counts.items():
        chosen = (review.codes == ("" if code == "kept" else code)) & there
        label = f"{code.replace('_', ' ')} ({count:,}" + (
            f", {count - chosen.sum():,} without {target})" if chosen.sum() < count else ")"
        )
        look = {"color": style.SKY} if code == "kept" else {"s": 46, "zorder": 3, "alpha": 1.0, **LOOKS[code]}
        style.points(axes, x[chosen], y[chosen], label=label, **look)
    if against == "flops" and target == "loss":
        _laws(review, axes, x[there].min(), x[there].max())
    style.log_axis(axes, "x", x[there].min(), x[there].max(), style.KINDS[against])
    if target == "loss":
        style.log_axis(axes, "y", y[there].min(), y[there].max())
    axes.set_xlabel(style.label_of(against))
    axes.set_ylabel("loss (nats per token)" if target == "loss" else style.plain(target, 40))
    dropped = int((~review.kept).sum())
    axes.set_title(
        f"{len(table):,} runs of {style.plain(review.source, 50)}: {len(table) - dropped:,} kept, {dropped:,} dropped"
    )
    style.legend(figure, axes, columns=3)
    return figure


def _laws(review: Review, axes: "Axes", low: float, high: float) -> None:
    form = LAWS.get((review.law or {}).get("form"))
    if form is None:
        return
    best = "least loss, " if form is CHINCHILLA else "law, "
    for which, colour, dashes in (("with", style.PURPLE, "--"), ("without", style.TEXT, "-")):
        law, computes = KnownLaw(form, review.law[which]), np.geomspace(low, high, CURVE)
        try:
            losses = [best_loss(law, float(c)) for c in computes]
        except InputError:  # a law whose terms do not fall: no split of compute is best
            continue
        axes.plot(computes, losses, color=colour, ls=dashes, lw=1.6, label=f"{best}{which} outliers", zorder=2.8)
