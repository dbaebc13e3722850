"""Where a store is: a SQLite file, or a database on a PostgreSQL server. Imports no database, so that every verb may name one."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Union

SQLITE_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True)
class StoreAddress:
    """A path, or a URL: postgresql://user:password@host/database. As text, which messages show, it has no password.

    folder: in which files that belong to a URL's store are kept; by default the working folder.
    """

    text: str = field(repr=False)
    folder: Path | None = None

    @staticmethod
    def of(address: Union[str, Path, "StoreAddress"]) -> "StoreAddress":
        """Return the address that this is, or that it is written as. Nothing is checked: ``Store`` does."""
        return address if isinstance(address, StoreAddress) else StoreAddress(str(address))

    def __str__(self) -> str:
        if not self.is_url:
            return self.text
        scheme, user, place = self._parts()
        name, colon, _ = user.partition(":")
        return f"{scheme}://{name}{':***' * bool(colon)}{'@' * bool(user)}{place}"

    def _parts(self) -> tuple[str, str, str]:
        """Return a URL's scheme, user with password, and the rest with passwords masked."""
        scheme, _, rest = self.text.partition("://")
        user, _, place = rest.rpartition("@")  # the last one: a password may hold others that should have been escaped
        return scheme, user, re.sub(r"(?i)([?&](?:ssl)?password=)[^&]*", r"\1***", place)

    @property
    def is_url(self) -> bool:
        return "://" in self.text

    @property
    def path(self) -> Path:
        """The file; of a path only."""
        return Path(self.text)

    def beside(self, suffix: str) -> Path:
        """Return where files of this kind are kept with the store: beside the file; of a URL in a folder of their own, where the
        database's name is followed by what tells it from others of that name, whoever the user is.
        """
        if not self.is_url:
            return Path(f"{self.text}.{suffix}")
        place = self._parts()[2]
        database = re.sub(r"[^\w.-]", "_", place.partition("?")[0].rpartition("/")[2])
        name = f"{database}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
        return (self.folder or Path.cwd()) / f"laimbench.{suffix}" / name

    def resolve(self) -> "StoreAddress":
        """Return an address that is the same from any working folder."""
        if self.is_url:
            return replace(self, folder=self.folder or Path.cwd())
        return StoreAddress(str(self.path.resolve()))

    def is_store(self) -> bool:
        """Say whether a store is meant, and not a table of somebody's or a commit: a URL, or a file that SQLite wrote."""
        if self.is_url:
            return True
        try:
            with self.path.open("rb") as stream:
                return stream.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
        except OSError:
            return False


RUNS = StoreAddress("runs.sqlite")  # where no other is given
