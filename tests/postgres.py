"""A real PostgreSQL server of the tests' own; they are skipped by name where its programs or the driver are not installed."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_ports

PASSWORD = "geheim & 100%"
DEBIAN = "/usr/lib/postgresql/*/bin"


def programs():
    """Return the folder with initdb and pg_ctl; Debian keeps them off PATH."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/").glob(DEBIAN[1:]), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists():
            return folder
    return pytest.skip(f"no PostgreSQL server: initdb is neither on PATH nor in {DEBIAN}; apt-get install postgresql")


class Server:
    """A server on a port of its own, with databases made as they are asked for."""

    def __init__(self, folder, binaries):
        self.folder, self._binaries, self._databases = folder, binaries, 0
        # The server refuses to be root.
        self._user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        if self._user:
            shutil.chown(folder, "nobody", "nogroup")
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        self._run("initdb", "-D", str(folder / "data"), "--username=laim", f"--pwfile={folder / 'password'}", "--no-sync",
                  "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")  # fmt: skip
        (self.port,) = free_ports()
        self.start()

    def start(self):
        options = f"-p {self.port} -k {self.folder} -F -c listen_addresses=127.0.0.1"
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-o", options, "-l", str(self.folder / "log"), "-w", "start"
        )

    def stop(self, mode="fast"):
        """End the server; ``immediate`` is as good as a crash."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "-w", "stop")

    def url(self, database, password=PASSWORD, port=None):
        from urllib.parse import quote

        return f"postgresql://laim:{quote(password, safe='')}@127.0.0.1:{port or self.port}/{database}"

    def new_database(self):
        """Make an empty database; return its URL."""
        self._databases += 1
        with self.connected("postgres") as connection:
            connection.execute(f"CREATE DATABASE d{self._databases}")
        return self.url(f"d{self._databases}")

    @contextmanager
    def connected(self, database):
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            yield connection

    def _run(self, program, *arguments):
        # Its folder and not ours, which another user may not enter. No pipe: the server would hold it open.
        done = subprocess.run([self._binaries / program, *arguments], cwd=self.folder, check=False, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120, **self._user)  # fmt: skip
        log = self.folder / "log"
        assert done.returncode == 0, f"{program}: {log.read_text()[-2000:] if log.exists() else ''}"


@contextmanager
def serving():
    """Yield a server, gone at the end with all it held."""
    pytest.importorskip("psycopg", reason="the package psycopg is not installed: pip install 'laimbench[postgres]'")
    binaries = programs()
    folder = Path(tempfile.mkdtemp(prefix="laimbench-postgres-"))
    try:
        server = Server(folder, binaries)
        yield server
        server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
