"""All pictures of a fit, and files of them. Needs matplotlib: pip install 'laimbench[plots]'."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from laimbench.errors import InputError
from laimbench.files import write_atomically
from laimbench.laws.fit import Fit
from laimbench.laws.likelihood import Profile
from laimbench.laws.output.fits import fit_picture, residual_picture, splits_compute
from laimbench.laws.output.reviews import quality_picture
from laimbench.laws.output.style import render
from laimbench.laws.output.surfaces import Vertex, contour_picture, isoflop_picture
from laimbench.laws.output.uncertainty import bootstrap_picture, profile_picture
from laimbench.laws.quality import Review
from laimbench.laws.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTIONS = {
    "fit": "The law and the runs it was fitted to.",
    "residuals": "What the law leaves over: a trend in a variable means that the form is wrong there.",
    "contours": "Loss over parameters and tokens, and the split of compute that is best.",
    "isoflop": "Loss against size at fixed compute.",
    "profile": "How much worse the best fit gets with one parameter held: flat means not identified.",
    "bootstrap": "The parameters of refits to resampled runs.",
    "quality": "Runs kept and dropped by quality control.",
}
"""Name of a picture -> what it shows; names are those of the files."""


def make_pictures(
    fit: Fit,
    *,
    only: Iterable[str] | None = None,
    target: str | None = None,
    vertices: Sequence[Vertex] = (),
    profiles: Mapping[str, Profile] | None = None,
    review: Review | None = None,
    table: Table | None = None,
) -> "dict[str, Figure]":
    """Return the pictures that this fit has, by the names in ``CAPTIONS``.

    A law that is none of loss in params and tokens has no contours and no isoFLOP fan, a fit without samples no bootstrap; the picture of
    quality control needs both review and table.

    Args:
        only: names of pictures, by default all that there are.
        target: what the law is of, for axes.
        vertices: see ``isoflop_picture``; profiles: see ``profile_picture``.

    Raises:
        InputError: an unknown name, a picture in ``only`` that this fit does not have, or no matplotlib.
    """
    makers = {"fit": lambda: fit_picture(fit, target=target), "residuals": lambda: residual_picture(fit)}
    if splits_compute(fit):
        makers["contours"] = lambda: contour_picture(fit, target=target)
        makers["isoflop"] = lambda: isoflop_picture(fit, vertices=vertices, target=target)
    makers["profile"] = lambda: profile_picture(fit, profiles)
    if len(fit.samples):
        makers["bootstrap"] = lambda: bootstrap_picture(fit)
    if review is not None and table is not None:
        makers["quality"] = lambda: quality_picture(review, table)
    wanted = list(makers) if only is None else list(only)
    for name in wanted:
        if name not in makers:
            there = "this fit has no such picture" if name in CAPTIONS else "there is none"
            raise InputError(f"picture {name!r}: {there}, expected some of {', '.join(makers)}")
    return {name: makers[name]() for name in wanted}


def save_pictures(fit: Fit, folder: str | Path, formats: Sequence[str] = ("png", "svg"), **options) -> list[Path]:
    """Write the pictures as folder/NAME.FORMAT, and return the files. The same fit gives the same bytes.

    Args:
        formats: some of png, svg, pdf.
        options: those of ``make_pictures``.

    Raises:
        InputError: what ``make_pictures`` raises, an unknown format, or a folder that cannot be written.
    """
    content = {
        Path(folder) / f"{name}.{form}": render(figure, form)
        for name, figure in make_pictures(fit, **options).items()
        for form in formats
    }
    try:
        for path, data in content.items():
            write_atomically(path, data)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}, expected a folder to write pictures to") from None
    return list(content)
