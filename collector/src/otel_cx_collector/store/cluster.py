"""The servers of one store: their schema, one database of all their tables, and who is missing. Not the questions.

With a cluster the rows stand in ``<database>_shard`` on every shard, in the tables that the embedded store has too, and
``<database>`` has a Distributed table of the same name over each: so the same statements ask either.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pyarrow as pa
import structlog
from clickhouse_connect.driver.exceptions import Error

from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import ClickHouse, StoreLimits
from otel_cx_collector.errors import CollectorError, UserError
from otel_cx_collector.events import NS
from otel_cx_collector.store import sql
from otel_cx_collector.store.engine import StoreError
from otel_cx_collector.store.migrate import migrate
from otel_cx_collector.store.server import Away, Server

RETRY_NS: Final = 30 * NS
"""A server that was away when the schema was brought up to date is tried again after this time."""
_SHARD: Final = "_shard"
"""What the name of the database on each shard ends with."""
_AWAY: Final = frozenset({3, 32, 198, 209, 210, 279, 369, 425})
"""Codes of a server that cannot reach another, or not in time."""
_DENIED: Final = 497
_EMPTY: Final = frozenset({60, 81})
"""Codes for a table or a database that is not there: a shard whose disk was replaced."""

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Host:
    """One server of a cluster."""

    shard: int
    host: str
    port: int
    """Of the native protocol: shards talk to each other by it."""

    @property
    def address(self) -> str:
        """As the servers' messages write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Cluster:
    """A database on one server, or on all shards of a cluster, with the schema this program knows. Thread-safe.

    The schema is brought up to date before the first statement, and again where a server was away. Everything raises
    StoreError, Away when a server does not answer; what the operator must mend raises UserError.
    """

    def __init__(
        self,
        address: ClickHouse,
        limits: StoreLimits,
        password_file: Path | None = None,
        ca_file: Path | None = None,
    ) -> None:
        logging.getLogger("clickhouse_connect").setLevel(logging.ERROR)  # what it warns of, we raise
        self._address = address
        self._limits = limits
        self._password_file = password_file
        self._ca_file = ca_file
        self._entry = self._server(address)
        self._bare = self._server(replace(address, database=""))
        """The same server where our database may not be there yet."""
        self._tables: list[Server] = []
        """Databases that hold rows, one a server."""
        self._hosts: list[Host] = []
        self._preparing = threading.Lock()
        self._prepared = False
        self._again_ns: int | None = None

    @property
    def path(self) -> object:
        """Where it is, for messages."""
        return self._entry.path

    # -------------------------------------------------------------- statements

    def command(self, statement: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run a statement that answers nothing."""
        with self._asking():
            self._entry.command(statement, parameters)

    def query(self, statement: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """The answer to a query, over all shards."""
        with self._asking():
            return self._entry.query(statement, parameters)

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows of one partition: on their shards, durable and visible when this returns."""
        with self._asking():
            self._entry.insert(table, rows)

    def now_ns(self) -> int:
        """The clock that all inserts are stamped by."""
        return self._bare.now_ns()

    def sync(self) -> None:
        """Nothing: durability of tables is the servers'."""

    def everywhere(self) -> list[Server]:
        """Each database that holds rows: for what a Distributed table cannot do, or know."""
        with self._asking():
            return list(self._tables)

    def health(self) -> str:
        """Empty when every server answers, else who does not."""
        try:
            for server in self.everywhere():
                server.now_ns()
        except CollectorError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Let go of all connections."""
        for server in (self._entry, self._bare, *self._tables):
            server.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        self.prepare()
        try:
            yield
        except StoreError as error:
            code = _code(error)
            away = self._missing(str(error)) if code in _AWAY else []
            if code in _EMPTY or (code in _AWAY and not away):
                self._prepared = False  # a shard lacks tables: the next one makes them
            if away:
                raise Away(self._told(away)) from error
            raise

    def _missing(self, said: str) -> list[Host]:
        """Whom a server's message is about; where it does not say, those that do not answer us either."""
        named = [host for host in self._hosts if f"({host.address}" in said]
        return named or [host for host in self._hosts if not self._answers(host)]

    def _answers(self, host: Host) -> bool:
        try:
            self._server(replace(self._address, host=host.host, database="")).now_ns()
        except StoreError:
            return False
        return True

    def _told(self, away: list[Host]) -> str:
        who = " and ".join(f"shard {host.shard} ({host.address})" for host in away)
        return (
            f"cluster {self._address.cluster}: no answer from {who}; without it there are no figures, and rows for it "
            f"wait: start it, or mend the way to it"
        )

    def _server(self, address: ClickHouse, name: str = "the ClickHouse server") -> Server:
        return Server(address, self._limits, name, self._password_file, self._ca_file)

    # ------------------------------------------------------------------ schema

    def prepare(self) -> None:
        """Bring the schema up to date where it is not known to be.

        Raises:
            UserError: A later version wrote it, the cluster is not known, the password is not taken, or a grant lacks.
        """
        if self._sure():
            return
        with self._preparing:
            if self._sure():  # another thread was quicker
                return
            try:
                self._prepare()
            except StoreError as error:
                if _code(error) == _DENIED:
                    raise UserError(f"{error}; grant that to user {self._address.user!r}") from error
                raise
            self._prepared = True

    def _sure(self) -> bool:
        return self._prepared and (self._again_ns is None or now_ns() < self._again_ns)

    def _prepare(self) -> None:
        if self._address.cluster:
            self._prepare_cluster()
        else:
            self._create(self._address, self._address.database)
            migrate(self._entry, now_ns() // 1000, self._limits)
            self._tables = [self._entry]

    def _prepare_cluster(self) -> None:
        self._hosts = self._known()
        away = []
        tables = []
        for host in self._hosts:
            name = f"shard {host.shard} of cluster {self._address.cluster}"
            own = replace(self._address, host=host.host, database=self._address.database + _SHARD)
            server = self._server(own, name)
            tables.append(server)
            try:
                self._prepare_shard(server)
            except Away as error:
                away.append(str(error))
        if away:
            _logger.warning("store.schema_unsure", why="; ".join(away))
        self._tables = tables
        self._again_ns = now_ns() + RETRY_NS if away else None

    def _known(self) -> list[Host]:
        bare, cluster = self._bare, self._address.cluster
        hosts = [Host(**row) for row in bare.query(sql.query("cluster_hosts"), {"cluster": cluster}).to_pylist()]
        if not hosts:
            known = ", ".join(bare.query(sql.query("clusters"))["cluster"].to_pylist()) or "none"
            raise UserError(
                f"{bare.name} knows no cluster {cluster!r}, only: {known}; name one of these in store, or define it "
                f"under remote_servers on every server"
            )
        return hosts

    def _prepare_shard(self, server: Server) -> None:
        """Tables of rows on one server, and those over all shards, which hold nothing and are made anew at will."""
        own, over_all = server.address, replace(server.address, database=self._address.database)
        self._create(own, own.database)
        self._create(own, over_all.database)
        migrate(server, now_ns() // 1000, self._limits)
        known = {row["table"]: row for row in _tables(server, over_all.database)}
        for row in _tables(server, own.database):
            there = known.get(row["table"])
            if there and there["columns"] == row["columns"]:
                continue
            # one that another node made meanwhile stays: an insert that has begun would miss it
            create = "CREATE OR REPLACE TABLE" if there else "CREATE TABLE IF NOT EXISTS"
            key = "attempt" if row["table"] == "steps" else row["sorting_key"]
            source = f"`{own.database}`.`{row['table']}`"
            statement = sql.query("distributed_create").replace("SHARDING_KEY", key).replace("SOURCE", source)
            named = {"database": over_all.database, "shard_database": own.database, "table": row["table"]}
            server.command(statement.replace("CREATE {", f"{create} {{"), named | {"cluster": self._address.cluster})

    def _create(self, address: ClickHouse, database: str) -> None:
        bare = self._server(replace(address, database=""))
        if not bare.query(sql.query("database_exists"), {"database": database})["found"][0].as_py():
            bare.command(sql.query("database_create"), {"database": database})


def _code(error: StoreError) -> int | None:
    """What the server answered with."""
    return error.__cause__.code if isinstance(error.__cause__, Error) else None


def _tables(server: Server, database: str) -> list[dict[str, str]]:
    """Name, sorting key and columns of each table but the one that is each server's own."""
    rows: list[dict[str, str]] = server.query(sql.query("tables"), {"database": database}).to_pylist()
    return [row for row in rows if row["table"] != "schema_version"]
