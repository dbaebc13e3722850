"""How many builds does ``laimbench track --bisect`` need for a planted commit among 32, and is it the right one?

Run by ``make study-bisect`` (QUICK=1: six commits of a package without C++). A repository is made of examples/extension with a history of commits that change
nothing that counts, but one: a mistake in the forward pass, or an exponential more in it, which is slower and right. Every commit that the
search asks for is cloned and built by pip, as a user's would be.
"""

import random
import shutil
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from study_result import command_line, save

from laimbench.data.cache import cache_folder
from laimbench.track.bisect import bisect
from laimbench.track.builds import build, git
from laimbench.track.compare import SUITE, Settings

EXTENSION = Path(__file__).resolve().parents[1] / "examples" / "extension"
COMMITS = 32
RIGHT = "pa[i] / (1 + std::exp(-pa[i])) * pb[i]"
# name: what the line of the forward pass becomes, the benchmark that is to see it
PLANTED = {
    "mistake": ("pa[i] / (1 + std::exp(-1.01f * pa[i])) * pb[i]", "symbols"),
    "slower": ("pa[i] / (1 + std::exp(-pa[i])) * pb[i] * std::exp(-0.0f * pb[i])", "swiglu"),
}
PYTHON_SUITE = """
import tiny
SIZES = QUICK_SIZES = [1]
def learn_line(size, seed):
    yield {"numbers": {"loss: first": tiny.VALUE}}
    yield {"flops": 1e9, "loss": 1.0 + seed / 100}
"""


def commit(repository: Path, message: str) -> None:
    git(repository, "add", "-A")
    git(repository, "-c", "user.name=study", "-c", "user.email=study@localhost", "commit", "-qm", message)


def history(repository: Path, place: int, commits: int, file: Path, old: str, new: str) -> None:
    """Add commits to a new repository; the one at ``place`` (1 is the first after the base) plants the change."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], check=True)
    commit(repository, "base")
    for number in range(1, commits + 1):
        (repository / "notes.txt").write_text(f"{number}\n", encoding="utf-8")
        if number == place:
            content = file.read_text(encoding="utf-8")
            if content.count(old) != 1:
                raise SystemExit(f"{file} has {old!r} {content.count(old)} times, expected once")
            file.write_text(content.replace(old, new), encoding="utf-8")
        commit(repository, f"number {number}")


def search(repository: Path, place: int, commits: int, settings: Settings, isolation: bool) -> dict[str, Any]:
    started = time.perf_counter()
    found = bisect(repository, f"HEAD~{commits}", "HEAD", repository / SUITE, settings, heard=partial(print, flush=True),
                   built=partial(build, isolation=isolation))  # fmt: skip
    row = {"commits": commits, "planted": f"number {place}", "found": found.subject, "right": found.subject == f"number {place}",
           "builds": found.built, "said": found.why, "seconds": time.perf_counter() - started}  # fmt: skip
    print(found.sentence(), flush=True)
    return row


def run(quick: bool) -> dict[str, Any]:
    rows, generator = [], random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if quick:
            (folder / "tiny").mkdir(parents=True)
            (folder / "tiny" / SUITE).write_text(PYTHON_SUITE, encoding="utf-8")
            (folder / "tiny" / "tiny.py").write_text("VALUE = 1.0\n", encoding="utf-8")
            setup = 'from setuptools import setup\nsetup(name="tiny", version="1", py_modules=["tiny"])\n'
            (folder / "tiny" / "setup.py").write_text(setup, encoding="utf-8")
            history(folder / "tiny", 4, 6, folder / "tiny" / "tiny.py", "1.0", "1.1")
            rows.append({"what": "mistake", **search(folder / "tiny", 4, 6, Settings(quick=True, seeds=2), True)})
        for what, (new, only) in {} if quick else PLANTED.items():
            repository, place = folder / what, generator.randint(1, COMMITS)
            shutil.copytree(EXTENSION, repository)
            history(repository, place, COMMITS, repository / "csrc" / "swiglu.cpp", RIGHT, new)
            settings = Settings(quick=True, only=(only,), rounds=24, seeds=6)
            rows.append({"what": what, **search(repository, place, COMMITS, settings, False)})
    return {"rows": rows, "right": sum(row["right"] for row in rows), "most_builds": max(row["builds"] for row in rows)}


if __name__ == "__main__":
    arguments = command_line(__doc__).parse_args()
    print(f"builds are kept under {cache_folder() / 'builds'}")
    save("bisect", run(arguments.quick), None, arguments.quick)
