"""The one database: its transactions, its failures in our words; SQLite's file. Not what is in it, not PostgreSQL.

Every write is one transaction that is on the disk when it returns; a read sees one moment. Writers go one after
another, readers never wait for them.
"""

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from otel_cx_collector.errors import CollectorError, Unavailable, UserError

BUSY_MS: Final = 5000
"""How long a statement waits for another process that writes, and a thread for a free connection."""
CONNECTIONS: Final = 15
"""Most at a time: that many threads read at once, others wait."""

_BEGIN: Final = "otel_cx_begin"
"""Option of a connection: the statement that begins its transaction; None: there is none."""
_OPERATOR: Final = ("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_READONLY")
"""Failures that pass only when somebody changes something."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is particular to one sort of database."""

    reading: str
    """Begins a transaction that sees one moment."""
    writing: str
    """Begins a transaction that no other writer is beside, in this process or another."""
    told: Callable[[DBAPIError, str], CollectorError | None]
    """A driver's failure in our words, with where it was; None for a mistake of ours, which must show as what it is."""


class Database:
    """Transactions over one engine. Thread-safe.

    Everything raises Unavailable while the database cannot be used (disk full, locked, away, closed), and UserError
    when the operator must act (damaged, not ours to write).
    """

    def __init__(self, engine: Engine, where: str, kind: Kind, *, shared: bool) -> None:
        """``where`` names the database in messages; ``shared``: all threads use one connection, one at a time."""
        self.engine = engine
        self.where = where
        self._kind = kind
        self._writer = threading.Lock()
        self._reader: AbstractContextManager[object] = self._writer if shared else nullcontext()
        self._closed = False
        event.listen(engine, "begin", _begin)

    def close(self) -> None:
        """Let go of it; what is asked afterwards is refused."""
        with self._writer:
            self._closed = True
            self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Reads of one moment."""
        with self._reader, self._connected(self._kind.reading) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: on the disk when the block ends, undone when it raises."""
        with self._writer, self._connected(self._kind.writing) as connection:
            yield connection

    def write_ahead(self) -> None:
        """Readers and the writer no longer wait for each other. Lasts; written once the file is known to be ours."""
        with self._writer, self._connected(None) as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")

    def copy(self, path: Path) -> None:
        """A new SQLite file with what this one holds at one moment."""
        if self.engine.dialect.name != "sqlite":
            raise UserError(f"{self.where} is backed up with its own tools, such as pg_dump; the rest without it")
        with self._reader, self._connected(None) as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(path),))
        path.chmod(0o600)

    def scrub(self) -> None:
        """Leave nothing of what was overwritten or deleted in the file; servers see to that themselves (VACUUM)."""
        if self.engine.dialect.name != "sqlite":
            return
        with self._writer, self._connected(None) as connection:
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _connected(self, begin: str | None) -> Iterator[Connection]:
        if self._closed:
            raise Unavailable(f"{self.where} is closed: the collector is stopping")
        try:
            with self.engine.connect() as connection, connection.execution_options(**{_BEGIN: begin}).begin():
                yield connection
        except PoolTimeout as error:
            raise Unavailable(f"{self.where} is busy with other reads; try again") from error
        except DBAPIError as error:
            told = self._kind.told(error, self.where)
            if told is None:
                raise
            raise told from error


def _begin(connection: Connection) -> None:
    """A transaction as we ask for it: the drivers' own begin too late to cover what a write has read."""
    statement = connection.get_execution_options().get(_BEGIN)
    if statement is not None:
        connection.exec_driver_sql(statement)


def file(path: Path) -> Database:
    """The database in a file of mode 0600 in a directory of mode 0700, both made when missing.

    Raises:
        UserError: They cannot be made, or not be written.
    """
    try:
        _directory(path.parent)
        _file(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot hold control's state: {error.strerror}; name a file in a directory that this user owns"
        ) from error
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, pool_size=CONNECTIONS, max_overflow=0, pool_timeout=BUSY_MS / 1000)
    _prepare(engine)
    return Database(engine, str(path), _SQLITE, shared=False)


def _directory(directory: Path) -> None:
    """Ours alone, unless it is one that others own or share: there the file's own mode must do."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.stat()
    if found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX:
        directory.chmod(0o700)


def _file(path: Path) -> None:
    """Made, or made ours alone. One that exists is not opened here: closing it would drop SQLite's locks (POSIX)."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
        path.chmod(0o600)


def memory() -> Database:
    """A database that ends with the process: for tests and replays."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    _prepare(engine)
    return Database(engine, "control's state in memory", _SQLITE, shared=True)


def _prepare(engine: Engine) -> None:
    """Connections that begin no transactions by themselves, and wait for the disk."""

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for setting in (f"busy_timeout = {BUSY_MS}", "foreign_keys = ON", "synchronous = FULL"):
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()


def _told(error: DBAPIError, where: str) -> CollectorError | None:
    """A driver's failure in our words; None for a mistake of ours, which must show as what it is."""
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    if type(error) is DatabaseError:
        return UserError(
            f"{where} is not a usable database: {error.orig}; bring the file back from a backup, or move it away to "
            f"start without history"
        )
    if name.startswith(_OPERATOR):
        return UserError(f"{where} cannot be used: {error.orig}; give the file and its directory to this user")
    if isinstance(error, OperationalError | InterfaceError):
        return Unavailable(f"{where} cannot be used: {error.orig}; look after its disk, the next try may succeed")
    return None


_SQLITE: Final = Kind(reading="BEGIN", writing="BEGIN IMMEDIATE", told=_told)
