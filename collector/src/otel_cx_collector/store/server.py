"""One ClickHouse server over HTTP behind one door: a client for each thread, foreign errors mapped. Not a cluster."""

import re
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httputil import get_pool_manager

from otel_cx_collector.config import ClickHouse, StoreLimits
from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.store import sql
from otel_cx_collector.store.engine import SETTINGS, StoreError, plain

CONNECT_S: Final = 5
"""Longest wait for a connection to be taken."""
INSERT_S: Final = 20
"""Longest insert; what takes longer counts as failed and comes again."""
ANSWER_S: Final = 5
"""What a query's time limit on the server leaves its answer for the way here."""

_SETTINGS: Final[Mapping[str, object]] = {
    **SETTINGS,
    # Acknowledged means on the shard, not in a queue of the server that was asked.
    "distributed_foreground_insert": 1,
    "distributed_background_insert_timeout": INSERT_S,
    "async_insert": 0,
    # Half of the data is no answer: a shard that is missing fails the query.
    "skip_unavailable_shards": 0,
    "fallback_to_stale_replicas_for_distributed_queries": 0,
    # INSERT SELECT between two distributed tables would else run on each shard for itself, and leave a key's figures on
    # several of them, where no later closing meets them.
    "parallel_distributed_insert_select": 0,
}
_AUTHENTICATION_FAILED: Final = 516
_AROUND: Final = re.compile(r"^Received ClickHouse exception, code: \d+, server response: | \(for url [^)]*\)$")


class Away(StoreError, Unavailable):  # noqa: N818 - it is what Unavailable is, of the store
    """A server or a shard does not answer: figures would be half the truth, so there are none. Try again."""


class Server:
    """A database of one server. Thread-safe; raises StoreError, and Away when the server does not answer.

    Attributes:
        name: What messages call it.
        path: Where it is, for messages.
    """

    def __init__(
        self,
        address: ClickHouse,
        limits: StoreLimits,
        name: str,
        password_file: Path | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self.address = address
        self.name = f"{name} at {address.host}:{address.port}"
        self.path = f"database {address.database} of {self.name}"
        self._limits = limits
        self._password_file = password_file
        self._ca_file = ca_file
        self._mine = threading.local()
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()
        self._closed = False

    def command(self, statement: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run a statement that answers nothing."""
        with self._mapped():
            self._client().command(statement, parameters=parameters)

    def query(self, statement: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """The answer to a query, each column in one chunk; low-cardinality strings are dictionary-encoded."""
        with self._mapped():
            answer = self._client().raw_query(statement, parameters, fmt="Arrow")
            return pa.ipc.open_file(pa.py_buffer(answer)).read_all().unify_dictionaries().combine_chunks()

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows of one partition: on its shard, durable and visible when this returns."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows.combine_chunks())
        block = sink.getvalue().to_pybytes()
        with self._mapped():
            self._client().raw_insert(
                table, rows.column_names, block, settings={"max_execution_time": INSERT_S}, fmt="Arrow"
            )

    def now_ns(self) -> int:
        """The server's clock, nanoseconds since the epoch: all who insert stamp by it, whatever theirs says."""
        return int(self.query(sql.query("now"))["now_us"][0].as_py()) * 1000

    def sync(self) -> None:
        """Nothing: durability of tables is the server's."""

    def close(self) -> None:
        """Close every thread's connection."""
        self._closed = True
        for client in list(self._clients):
            client.close()

    def _client(self) -> Any:
        if self._closed:
            raise StoreError("the store is closed: the collector is stopping")
        client = getattr(self._mine, "client", None)
        if client is None:
            client = self._mine.client = self._connect()
            self._clients.add(client)
        return client

    def _connect(self) -> Any:
        """A client for this thread; it takes the password as the file has it now."""
        address, limits = self.address, self._limits
        try:
            client: Any = clickhouse_connect.get_client(
                host=address.host,
                port=address.port,
                interface="https" if address.tls else "http",
                username=address.user,
                password=self._password(),
                database=address.database or None,
                pool_mgr=_connections(self._ca_file),
                connect_timeout=CONNECT_S,
                send_receive_timeout=max(limits.query_s or 300, INSERT_S) + ANSWER_S,
                query_retries=0,
                autogenerate_session_id=False,
                form_encode_query_params=True,  # addresses of requests stand in logs, and parameters tell of customers
                client_name="otel-cx-collector",
                settings={
                    **_SETTINGS,
                    "max_memory_usage": limits.query_memory_bytes,
                    "max_execution_time": limits.query_s,
                },
            )
        except ClickHouseError as error:
            if getattr(error, "code", None) == _AUTHENTICATION_FAILED:
                raise UserError(
                    f"{self.name} does not take user {address.user!r} with the password it was shown; check the user "
                    "in store, and store_password_file"
                ) from error
            raise
        client.http_retries = 0
        return client

    def _password(self) -> str:
        if self._password_file is None:
            return ""
        try:
            return self._password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"the password of the store cannot be read from {self._password_file}: {error}; "
                "name a file this user may read in store_password_file"
            ) from error

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (ClickHouseError, OSError, pa.ArrowException) as error:
            code = getattr(error, "code", None)
            if code == _AUTHENTICATION_FAILED:
                self._mine.client = None  # the next one reads the password again
            if isinstance(error, ClickHouseError) and code is None:
                raise Away(
                    f"{self.name} does not answer: {_reason(error)}; start it, or check the way to it"
                ) from error
            raise StoreError(f"{self.name}: {_AROUND.sub('', plain(error))}") from error


@cache
def _connections(ca_file: Path | None) -> Any:
    """Connections of all threads; through no proxy."""
    return get_pool_manager(ca_cert=None if ca_file is None else str(ca_file), maxsize=32)


def _reason(error: BaseException) -> str:
    """What the network said; the client's own text shows the whole request, and that tells of customers."""
    cause = error.__cause__ or error
    return re.sub(r"^\w+\(.*?\): ", "", str(getattr(cause, "reason", cause)))
