"""``laimbench init-tracking``: the file that ``laimbench track`` needs, and a workflow that runs it on pull requests."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from laimbench.errors import InputError
from laimbench.files import write_atomically

# File of the package: where it goes in the repository.
TEMPLATES = {"suite.py.txt": "laimbench_track.py", "workflow.yml.txt": ".github/workflows/track.yml"}


def init_tracking(
    repository: Annotated[Path, typer.Argument(help="Folder of your repository.")] = Path(),
    package: Annotated[str, typer.Option(help="Name your package is imported by.")] = "my_extension",
) -> None:
    """Write a suite to fill in and a workflow for pull requests; files that are there already stay as they are."""
    if not repository.is_dir():
        raise InputError(f"{repository}: no such folder")
    if not package.isidentifier():
        raise InputError(f"package is {package!r}, expected a name that Python can import")
    folder = files("laimbench.track") / "templates"
    for source, target in TEMPLATES.items():
        path = repository / target
        if path.exists():
            typer.echo(f"kept     {path}")
            continue
        write_atomically(path, folder.joinpath(source).read_text(encoding="utf-8").replace("PACKAGE", package))
        typer.echo(f"written  {path}")
    typer.echo("next: fill in laimbench_track.py, then `laimbench track HEAD~1 HEAD`")
