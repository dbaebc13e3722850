"""What the studies of ``laimbench track`` compare: copies of the installed package, by their suite."""

import shutil
from pathlib import Path

import laimbench
from laimbench.track.process import Side

SUITE = Path(__file__).with_name("track_suite.py")


def copy_of_package(folder: Path) -> Side:
    """Copy the package into a folder of its own, as a build would be."""
    shutil.copytree(Path(laimbench.__file__).parent, folder / "laimbench", ignore=shutil.ignore_patterns("__pycache__"))
    return Side(folder.name, folder)
