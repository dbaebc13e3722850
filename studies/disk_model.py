"""What may be on a disk after a power cut, by what a process asked of the system: strace's record, played into a model of a file system.

The model promises no more than POSIX does. What is written to a file is on the disk once the file is synced, a name once its folder is
(syncing a file does not keep its name, which ext4 would do). At a cut, each page that was written since may be there or not, and of a
folder's changes of names a beginning: journals keep their order. A rename within a folder happens as a whole.

Method: Pillai et al. 2014, "All File Systems Are Not Created Equal: On the Complexity of Crafting Crash-Consistent Applications" (OSDI).
"""

import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGE = 4096
# What changes files, and whether the model has it.
OPEN, WRITE, SYNC, RENAME = {"open", "openat", "creat"}, {"write", "pwrite64", "ftruncate", "lseek"}, {"fsync", "fdatasync"}, \
    {"rename", "renameat", "renameat2"}  # fmt: skip
MAKE, REMOVE = {"mkdir", "mkdirat"}, {"unlink", "unlinkat", "rmdir"}
NOT_MODELLED = {"writev", "pwritev", "pwritev2", "truncate", "fallocate", "link", "linkat", "symlink", "symlinkat",
                "copy_file_range", "sendfile", "dup", "dup2", "dup3"}  # fmt: skip
STRACE = ("strace", "-f", "-qq", "-xx", "-y", "-s", "100000000", "-e",
          "trace=" + ",".join(sorted(OPEN | WRITE | SYNC | RENAME | MAKE | REMOVE | NOT_MODELLED | {"mmap"})))  # fmt: skip

CALL = re.compile(r"(\d+) +(\w+)\((.*)\) += (\d+|0x[0-9a-f]+)", re.DOTALL)
UNFINISHED = re.compile(r"(\d+) +(.*) <unfinished \.\.\.>", re.DOTALL)
RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)", re.DOTALL)
ARGUMENT = re.compile(
    r'"(?P<text>[^"]*)"|(?P<descriptor>\w+)<(?P<path>[^>]*)>(?P<deleted>\(deleted\))?|(?P<plain>[^,\s"<]+)'
)


@dataclass
class Call:
    """A system call that succeeded, with its arguments by their kind; the path of a descriptor is '' when its file has no name any more."""

    name: str
    result: int
    descriptors: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """Return the files that it names: by their path, relative to a folder's descriptor or not, or by their descriptor."""
        if self.name in WRITE or not self.texts:
            return self.paths
        names = [os.fsdecode(text) for text in self.texts]
        folders = self.paths if self.name.endswith(("at", "at2")) else [os.sep] * len(names)
        return [str(Path(folder) / name) for folder, name in zip(folders, names, strict=True)]


def read_record(record: Path) -> Iterator[Call]:
    """Yield the calls of a record by STRACE that succeeded, in the order in which they ended."""
    begun: dict[str, str] = {}
    with record.open(encoding="ascii") as stream:
        for line in stream:
            if unfinished := UNFINISHED.match(line):
                begun[unfinished[1]] = unfinished[2]
                continue
            if resumed := RESUMED.match(line):
                line = f"{resumed[1]} {begun.pop(resumed[1])}{resumed[2]}"
            if found := CALL.match(line):
                call = Call(found[2], int(found[4], 0))
                for argument in ARGUMENT.finditer(found[3]):
                    if argument["text"] is not None:
                        call.texts.append(_decoded(argument["text"]))
                    elif argument["path"] is not None:
                        call.descriptors.append(argument["descriptor"])
                        call.paths.append("" if argument["deleted"] else os.fsdecode(_decoded(argument["path"])))
                    else:
                        call.plain.append(argument["plain"])
                yield call


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass
class File:
    """Writes (offset and bytes; a length and None where it was cut), of which the first ``synced`` are on the disk."""

    writes: list[tuple[int, bytes | None]] = field(default_factory=list)
    synced: int = 0

    def sync(self) -> None:
        self.synced = len(self.writes)

    def content(self) -> bytes:
        return _content(self.writes)

    def after_cut(self, kept: float, generator: random.Random) -> bytes:
        """Return what may be on the disk when each page that is not synced is there with this probability."""
        survived = list(self.writes[: self.synced])
        for offset, data in self.writes[self.synced :]:
            if data is None:
                survived += [(offset, None)] if generator.random() < kept else []
                continue
            first = offset // PAGE
            for page in range(first, (offset + len(data) - 1) // PAGE + 1):
                if generator.random() < kept:
                    start, end = max(offset, page * PAGE), min(offset + len(data), (page + 1) * PAGE)
                    survived.append((start, data[start - offset : end - offset]))
        return _content(survived)


def _content(writes: list[tuple[int, bytes | None]]) -> bytes:
    found = bytearray()
    for offset, data in writes:
        if data is None:
            del found[offset:]
        found.extend(bytes(max(0, offset - len(found))))
        if data is not None:
            found[offset : offset + len(data)] = data
    return bytes(found)


Tree = dict[str, "bytes | Tree"]


@dataclass
class Folder:
    """Changes of names (what each stands for now, None for nothing), of which the first ``synced`` are on the disk."""

    changes: list[dict[str, "File | Folder | None"]] = field(default_factory=list)
    synced: int = 0

    def sync(self) -> None:
        self.synced = len(self.changes)

    def entries(self, changes: int | None = None) -> dict[str, "File | Folder"]:
        found: dict[str, File | Folder | None] = {}
        for change in self.changes[:changes]:
            found |= change
        return {name: node for name, node in found.items() if node is not None}

    def content(self) -> Tree:
        return {name: node.content() for name, node in self.entries().items()}

    def after_cut(self, kept: float, generator: random.Random) -> Tree:
        changes = self.synced
        while changes < len(self.changes) and generator.random() < kept:
            changes += 1
        return {name: node.after_cut(kept, generator) for name, node in self.entries(changes).items()}


class Disk:
    """The files under a folder that was empty when the record began, by one process that opens them by whole paths."""

    def __init__(self, root: Path):
        self._root, self.top = str(root.resolve()), Folder()
        self._offsets: dict[str, int] = {}  # of open files, by descriptor

    def apply(self, call: Call) -> bool:
        """Do a call; return whether it changed anything.

        Raises:
            NotImplementedError: in a way that the model does not have.
        """
        paths = [self._inside(name) for name in call.names()]
        if None in paths or not paths:
            if call.name in RENAME and paths != [None, None]:
                raise NotImplementedError(f"a rename over the edge of {self._root}")
            return False
        path = paths[0]
        if call.name in NOT_MODELLED:
            raise NotImplementedError(f"{call.name} of {path}")
        if call.name == "mmap":
            # SQLite makes the index of its log anew after a cut; other files are not to be written past the record.
            if "MAP_SHARED" in call.plain and "PROT_WRITE" in str(call.plain) and not path.endswith("-shm"):
                raise NotImplementedError(f"writing by a mapping of {path}")
            return False
        if call.name in OPEN:
            return self._open(path, call)
        if call.name in WRITE:
            return self._write(self._node(path), call)
        if call.name in SYNC:
            self._node(path).sync()
        elif call.name in RENAME:
            self._rename(*paths)
        else:
            self._change(path, Folder() if call.name in MAKE else None)
        return True

    def _inside(self, path: str) -> str | None:
        """Return a path relative to the root, '' for the root itself; None outside."""
        text = os.path.normpath(path) if path else path
        if text == self._root:
            return ""
        return text[len(self._root) + 1 :] if text.startswith(self._root + os.sep) else None

    def _node(self, path: str) -> "File | Folder | None":
        node: File | Folder | None = self.top
        for part in Path(path).parts:
            node = node.entries().get(part) if isinstance(node, Folder) else None
        return node

    def _change(self, path: str, node: "File | Folder | None") -> None:
        folder, name = os.path.split(path)
        self._node(folder).changes.append({name: node})

    def _rename(self, old: str, new: str) -> None:
        node, (old_folder, old_name), (new_folder, new_name) = self._node(old), os.path.split(old), os.path.split(new)
        if old_folder == new_folder:
            self._node(old_folder).changes.append({old_name: None, new_name: node})
        else:
            self._change(new, node)
            self._change(old, None)

    def _open(self, path: str, call: Call) -> bool:
        node, flags = self._node(path), call.plain[0]
        if isinstance(node, Folder):
            return False
        if node is None:
            node = File()
            self._change(path, node)
        elif "O_TRUNC" in flags:
            node.writes.append((0, None))
        self._offsets[str(call.result)] = len(node.content()) if "O_APPEND" in flags else 0
        return "O_CREAT" in flags or "O_TRUNC" in flags

    def _write(self, node: File | Folder, call: Call) -> bool:
        descriptor = call.descriptors[0]
        if call.name == "lseek":
            self._offsets[descriptor] = call.result
            return False
        if call.name == "ftruncate":
            node.writes.append((int(call.plain[0]), None))
        elif call.name == "pwrite64":
            node.writes.append((int(call.plain[1]), call.texts[0][: call.result]))
        else:
            node.writes.append((self._offsets[descriptor], call.texts[0][: call.result]))
            self._offsets[descriptor] += call.result
        return True


def write_tree(tree: Tree, folder: Path) -> None:
    """Make a folder with these contents."""
    folder.mkdir()
    for name, content in tree.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            write_tree(content, folder / name)


def read_tree(folder: Path) -> Tree:
    """Return a folder's contents."""
    return {path.name: path.read_bytes() if path.is_file() else read_tree(path) for path in folder.iterdir()}
