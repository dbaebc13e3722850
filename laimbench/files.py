"""Write files so that a reader sees the old content or the new, never half of it; read those of other programs."""

import fcntl
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from laimbench.errors import InputError

MOST_BYTES = 1 << 28  # of a JSON file that is read whole
# What values of other kinds than expected end in.
ODD_VALUES = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError)


def write_atomically(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write through a temporary file in the same folder, then ``publish`` it. Makes missing folders."""
    make_folder(path.parent)
    data = content.encode() if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        publish(temporary, path, mode)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path, what: str) -> Any:
    """Return what a JSON file of another program holds. what: it is expected to be, for messages.

    Raises:
        InputError: there is no such file, it has more than MOST_BYTES, or it is not JSON.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected {what}")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path}: {path.stat().st_size:,} bytes, expected at most {MOST_BYTES:,}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from None


def publish(temporary: Path, path: Path, mode: int = 0o644) -> None:
    """Give a finished file of the same folder its name: fsync, rename, fsync of the folder, so that it is whole after a power cut too."""
    temporary.chmod(mode)
    fsync(temporary)
    temporary.replace(path)
    fsync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, whose names are on the disk then: what is in them is lost without theirs."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        fsync(folder.parent)


def fsync(path: Path) -> None:
    """Have a file's content, or a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_folder(folder: Path, what: str, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield a fresh folder to fill, which takes ``folder``'s place when all went well: it appears whole or not at all.

    An empty folder, or one that ``is_ours`` says may be replaced, makes room for it. What a killed process had begun for it is removed.

    Raises:
        InputError: the folder holds something else than ``what``, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not is_ours(folder))):
        raise InputError(f"{folder}: holds something else than {what}, expected a new folder")
    try:
        make_folder(folder.parent)
        _remove_abandoned(folder)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    try:
        with _locked(fresh):
            yield fresh
            for file in fresh.iterdir():
                file.chmod(0o644)
                fsync(file)
            fresh.chmod(0o755)
            fsync(fresh)
            _replace(fresh, folder)
            fsync(folder.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove what was to become a folder and nobody fills any more: a process's locks end with it."""
    for path in folder.parent.glob(f".{glob.escape(folder.name)}.*"):
        with suppress(OSError), _locked(path) as ours:
            if ours:
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock; yield whether it is ours: another process may have it, and some network file systems have none for folders.

    Raises:
        OSError: it is no folder, or not there any more.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    ours = True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        ours = False
    try:
        yield ours
    finally:
        os.close(descriptor)


def _replace(fresh: Path, folder: Path) -> None:
    if not folder.exists():
        fresh.rename(folder)
        return
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
    folder.rename(old / "was")
    fresh.rename(folder)
    shutil.rmtree(old)
