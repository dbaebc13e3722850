"""``laimbench init-tracking``: what ``laimbench track`` and asv need, and a workflow that runs the former on pull requests."""

from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from laimbench.errors import InputError
from laimbench.files import write_atomically

# File of the package: where it goes in the repository.
TEMPLATES = {
    "suite.py.txt": "laimbench_track.py",
    "workflow.yml.txt": ".github/workflows/track.yml",
    "asv.conf.json.txt": "asv.conf.json",
    "asv_init.py.txt": "benchmarks/__init__.py",  # asv takes no folder without one
    "asv_suite.py.txt": "benchmarks/suite.py",
}


def init_tracking(
    repository: Annotated[Path, typer.Argument(help="Folder of your repository.")] = Path(),
    package: Annotated[str, typer.Option(help="Name your package is imported by.")] = "my_extension",
) -> None:
    """Write a suite to fill in, a workflow for pull requests, and asv's configuration and benchmarks; files that are there already stay as they are."""
    if not repository.is_dir():
        raise InputError(f"{repository}: no such folder")
    if not package.isidentifier():
        raise InputError(f"package is {package!r}, expected a name that Python can import")
    torch_version = version("torch").partition("+")[0]
    folder = files("laimbench.track") / "templates"
    for source, target in TEMPLATES.items():
        path = repository / target
        if path.exists():
            typer.echo(f"kept     {path}")
            continue
        content = folder.joinpath(source).read_text(encoding="utf-8")
        write_atomically(path, content.replace("PACKAGE", package).replace("TORCH_VERSION", torch_version))
        typer.echo(f"written  {path}")
    typer.echo(
        "next: fill in laimbench_track.py, then `laimbench track HEAD~1 HEAD`, or `asv run` and `laimbench history`"
    )
