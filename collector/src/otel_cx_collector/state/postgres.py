"""Control's state on a PostgreSQL server: how it is reached, what its failures mean. Not what is in it.

A write holds one advisory lock from its first statement to its commit, so writers go one after another, as with
SQLite's BEGIN IMMEDIATE, and what one has read still holds when it writes: there is nothing that PostgreSQL would ask
to be tried again. A read sees one snapshot and waits for nobody.
"""

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InternalError, OperationalError

from otel_cx_collector.errors import CollectorError, Unavailable, UserError
from otel_cx_collector.state import database
from otel_cx_collector.state.database import Database, Kind

CONNECT_S: Final = 5
"""How long a server may take to answer the door."""
STATEMENT_MS: Final = 30_000
"""Longest time of one statement: pruning is the slowest, and takes a thousand rows."""
IDLE_MS: Final = 60_000
"""After so long without a word in the middle of a transaction the server gives up on us, and the lock is free."""
LOCK: Final = int.from_bytes(b"otel-cx")
"""Number of the advisory lock; such locks belong to one database of the server."""

_KEEPALIVE: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
"""A server whose machine is gone is noticed within half a minute."""
_OPERATOR: Final = ("28", "3D", "3F", "42501")
"""Classes of SQLSTATE, and one state, that pass only when somebody changes something (PostgreSQL, appendix A)."""
_INSTALL: Final = "pip install 'otel-cx-collector[postgres]'"


def server(url: str, password_file: Path | None) -> Database:
    """The database behind ``postgresql://user@host:port/name``; nothing is asked of it yet.

    Args:
        url: Without a password; its query may hold what libpq knows, such as ``sslmode=verify-full``.
        password_file: Read for each new connection, so that a password is changed without a restart.

    Raises:
        UserError: The URL cannot be read, or the driver is not installed.
    """
    try:
        parsed = make_url(url)
        where = (
            f"PostgreSQL database {parsed.database!r} at {parsed.host or parsed.query.get('host') or 'this machine'}"
        )
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",  # transactions begin and end when we say so
            pool_size=database.CONNECTIONS,
            max_overflow=0,
            pool_timeout=database.BUSY_MS / 1000,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": CONNECT_S,
                "application_name": "otel-cx",
                "client_encoding": "utf8",
                "prepare_threshold": None,  # a pooler between us may give each transaction another session
                **_KEEPALIVE,
            },
        )
    except ModuleNotFoundError as error:
        raise UserError(f"control's state in PostgreSQL needs the driver psycopg; {_INSTALL}") from error
    except ArgumentError as error:
        raise UserError("the URL of control's state cannot be read; write postgresql://user@host:5432/name") from error
    if password_file:
        _give_password(engine, password_file)
    return Database(engine, where, _kind(), shared=False)


def check(opened: Database) -> None:
    """Raises UserError for a database that cannot hold every text."""
    with opened.reading() as connection:
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise UserError(f"{opened.where} has the encoding {encoding}; create one WITH ENCODING 'UTF8'")


def _kind() -> Kind:
    settings = (
        f"SET LOCAL lock_timeout = {database.BUSY_MS}; SET LOCAL statement_timeout = {STATEMENT_MS}; "
        f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_MS}"
    )
    return Kind(
        reading=f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {settings}",
        writing=(
            f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {settings}; SET LOCAL synchronous_commit = on; "
            f"SELECT pg_advisory_xact_lock({LOCK})"
        ),
        told=_told,
    )


def _give_password(engine: Engine, file: Path) -> None:
    @event.listens_for(engine, "do_connect")
    def connect(_: object, __: object, ___: object, parameters: dict[str, Any]) -> None:
        try:
            parameters["password"] = file.read_text().strip()
        except OSError as error:
            raise UserError(
                f"control_password_file {file} cannot be read: {error.strerror}; name a file that this user may read"
            ) from error


def _told(error: DBAPIError, where: str) -> CollectorError | None:
    """A failure of driver or server in our words; None for a mistake of ours, which must show as what it is."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    reason = " ".join(str(error.orig).split())
    if state.startswith(_OPERATOR):
        return UserError(f"{where} cannot be used: {reason}; give this user the right to it, or name another")
    if isinstance(error, OperationalError | InterfaceError | InternalError):
        return Unavailable(f"{where} cannot be used: {reason}; look after the server, the next try may succeed")
    return None
