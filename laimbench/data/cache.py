"""Folders of prepared data, kept under their key: whole by checksum, or made again."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from laimbench.errors import LaimbenchError

META = "meta.json"


def cache_folder() -> Path:
    """Return where data is cached: $LAIMBENCH_CACHE, or laimbench under $XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("LAIMBENCH_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "laimbench"


def cached(kind: str, identity: str, build: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """Return the folder of what ``identity`` stands for and its meta.json; ``build`` fills a fresh one if need be.

    ``build(folder)`` writes files there and returns what meta.json shall hold; their checksums are added. Two processes
    may build at once: each into a folder of its own, renamed when it is whole; one wins.

    Raises:
        LaimbenchError: the folder cannot be written.
    """
    key = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    folder = cache_folder() / kind / key
    meta = _whole(folder)
    if meta is None:
        try:
            meta = _make(folder, build)
        except OSError as error:
            raise LaimbenchError(f"cache {folder}: cannot be written ({error})") from None
    return folder, meta


def _whole(folder: Path) -> dict[str, Any] | None:
    """Return meta.json when every file has the checksum that was noted when it was written."""
    try:
        meta = json.loads((folder / META).read_text())
        return meta if all(sha256(folder / name) == known for name, known in meta["sha256"].items()) else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _make(folder: Path, build: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        meta = build(fresh)
        meta["sha256"] = {path.name: sha256(path) for path in sorted(fresh.iterdir())}
        (fresh / META).write_text(json.dumps(meta, indent=2))
        if folder.exists():  # damaged, or another process was faster
            known = _whole(folder)
            if known is not None:
                return known
            shutil.rmtree(folder)
        try:
            fresh.rename(folder)
        except OSError:
            known = _whole(folder)
            if known is None:
                raise
            return known
        return meta
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
