"""Build a commit of a repository once, by pip, into a folder that goes on an import path."""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from laimbench.data.cache import cache_folder
from laimbench.errors import InputError, RunError
from laimbench.track.process import Side

WORKING_TREE = "."


def resolve(repository: Path, revision: str) -> str:
    """Return the full hash of a commit; "." is the working tree with its changes to tracked files, as a commit that no branch holds.

    Raises:
        InputError: no such commit, or no repository.
    """
    if revision == WORKING_TREE:
        return git(repository, "stash", "create") or resolve(repository, "HEAD")
    if revision.startswith("-"):
        raise InputError(f"{revision!r} is not a commit of {repository}")
    try:
        return git(repository, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    except RunError:
        raise InputError(
            f"{revision!r} is not a commit of {repository}, a folder with a built package or a store"
        ) from None


def build(repository: Path, revision: str, *, isolation: bool = True) -> Side:
    """Return the side of a commit: built by ``pip wheel`` in a clone of its own and unpacked, or as it was built before.

    Packages it depends on are those of the environment that runs this, for both sides the same. ``isolation``: whether pip makes
    an environment for the build, or it uses this one (torch extensions often ask for torch to build, which is large).

    Raises:
        InputError: no such commit. RunError: it does not build; the message names the log.
    """
    commit = resolve(repository, revision)
    label = commit[:10] if revision in (WORKING_TREE, commit) else f"{revision} ({commit[:10]})"
    folder = _folder(repository) / f"{commit[:16]}-{_environment()}"
    if not folder.exists():
        _build(repository, commit, folder, isolation)
    return Side(label, folder)


def _build(repository: Path, commit: str, folder: Path, isolation: bool) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    with tempfile.TemporaryDirectory(dir=folder.parent) as name, log.open("w", encoding="utf-8") as stream:
        source, wheels, fresh = (Path(name) / part for part in ("source", "wheels", "site"))
        run = lambda *command: subprocess.run(command, stdout=stream, stderr=stream, check=True)  # noqa: E731
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
        try:
            # A clone and not an archive: builds ask git for their version.
            run("git", "clone", "--quiet", "--shared", "--no-checkout", str(repository.resolve()), str(source))
            run("git", "-C", str(source), "-c", "advice.detachedHead=false", "checkout", "--quiet", commit)
            if (source / ".gitmodules").exists():
                run("git", "-C", str(source), "submodule", "update", "--init", "--recursive")
            alone = () if isolation else ("--no-build-isolation",)
            run(*pip, "wheel", "--no-deps", *alone, "--wheel-dir", str(wheels), str(source))
            run(*pip, "install", "--no-deps", "--target", str(fresh), *map(str, wheels.glob("*.whl")))
        except subprocess.CalledProcessError:
            stream.flush()
            raise RunError(f"{commit[:10]} does not build: {_reason(log)} (all of it: {log})") from None
        if folder.exists():  # somebody else was faster
            shutil.rmtree(fresh)
        else:
            fresh.rename(folder)
    log.unlink()


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if "error: " in line.lower() and "subprocess" not in line]
    return (telling or lines or ["no output"])[0][:200]


def _folder(repository: Path) -> Path:
    root = git(repository, "rev-parse", "--path-format=absolute", "--git-common-dir")
    return cache_folder() / "builds" / hashlib.sha256(os.fsencode(root)).hexdigest()[:12]


def _environment() -> str:
    """What a build depends on beside its commit: Python, the platform and torch."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "none"
    key = f"{sysconfig.get_config_var('SOABI')} {torch}"
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def git(repository: Path, *arguments: str) -> str:
    """Return what a git command prints.

    Raises:
        RunError: git is not there or says no.
    """
    try:
        done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RunError("git is not installed") from None
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["failed"])[-1]
        raise RunError(f"git {arguments[0]} in {repository}: {message}")
    return done.stdout.strip()
