"""The embedded engine behind one door: a connection for each thread, foreign errors mapped. Not what is asked of it."""

import os
import re
import shutil
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError

from otel_cx_collector.config import StoreLimits
from otel_cx_collector.errors import CollectorError, UserError

SETTINGS: Final[Mapping[str, object]] = {
    # Copies of a row have the same minute, so they are in one partition, and FINAL need not look across.
    "do_not_merge_across_partitions_select_final": 1,
    # An insert is one part and so all or nothing: what cursors over inserted_at rely on.
    "max_partitions_per_insert_block": 1,
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 1,
    "output_format_arrow_compression_method": "none",
}
_TRAILER: Final = re.compile(r" ?\(version [^)]*\)|Stack trace:.*", re.DOTALL)


class StoreError(CollectorError):
    """The store refused or failed: try again. Nothing of an insert that failed is to be relied on."""


class Engine:
    """chDB over one directory. Thread-safe; raises UserError when it cannot be opened, StoreError afterwards."""

    def __init__(self, path: Path, limits: StoreLimits) -> None:
        self.path = path
        self._incoming = path / "incoming"
        self._limits = limits
        self._mine = threading.local()
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()
        self._opening = threading.Lock()
        self._closed = False
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
            shutil.rmtree(self._incoming, ignore_errors=True)
            self._incoming.mkdir(mode=0o700)
        except OSError as error:
            raise UserError(f"{path} cannot hold the store: {error.strerror}; make it one this user owns") from error
        try:
            self._client()
        except ImportError as error:
            raise UserError("the embedded store needs chDB; pip install 'otel-cx-collector[embedded]'") from error
        except (ClickHouseError, RuntimeError, OSError) as error:
            raise UserError(
                f"the store in {path} cannot be opened: {plain(error)}; stop the process that has it open, or give "
                f"this one another data directory"
            ) from error

    def command(self, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run a statement that answers nothing."""
        with self._asking() as client:
            client.command(sql, parameters=parameters)

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """The answer to a query, each column in one chunk; low-cardinality strings are dictionary-encoded."""
        with self._asking() as client:
            answer = client.raw_query(sql, parameters, fmt="Arrow")
            return pa.ipc.open_file(pa.py_buffer(answer)).read_all().unify_dictionaries().combine_chunks()

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows of one partition, as one part.

        The engine reads them from a file. The client would write that to the shared temporary directory; rows tell of
        customers, so it stands in ours.
        """
        columns = ", ".join(rows.column_names)
        with self._asking() as client, NamedTemporaryFile(dir=self._incoming, suffix=".arrow") as file:
            with pa.ipc.new_file(file, rows.schema) as writer:
                writer.write_table(rows.combine_chunks())
            file.flush()
            client.command(f"INSERT INTO {table} ({columns}) FROM INFILE {quoted(file.name)} FORMAT Arrow")

    def sync(self) -> None:
        """Make every file durable. The engine does so for rows, but not for the tables that statements make."""
        for path in (self.path.parent, self.path, *self.path.rglob("*")):
            if path.is_dir() or path.is_file():
                fd = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)

    def close(self) -> None:
        """Close every thread's connection; the last one ends the engine."""
        with self._opening:
            self._closed = True
        for client in list(self._clients):
            client.close()

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        """This thread's connection. It does not outlive a failure: half an answer would stand before the next one."""
        client = None
        try:
            client = self._client()
            yield client
        except (ClickHouseError, RuntimeError, OSError, pa.ArrowException) as error:
            self._renew(client)
            raise StoreError(plain(error)) from error

    def _renew(self, client: Any) -> None:
        """Close a connection once there is another: the last one would end the engine."""
        if client is None:
            return
        self._mine.client = None
        try:
            self._client()
        except (CollectorError, ClickHouseError, RuntimeError, OSError):
            return  # closed, or too little memory: the old one is the garbage collector's
        client.close()

    def _client(self) -> Any:
        if self._closed:
            raise StoreError("the store is closed: the collector is stopping")
        client = getattr(self._mine, "client", None)
        return client or self._open()

    def _open(self) -> Any:
        with self._opening:
            if self._closed:
                raise StoreError("the store is closed: the collector is stopping")
            client = self._mine.client = self._connect()
            self._clients.add(client)
            return client

    def _connect(self) -> Any:
        """A connection for this thread; threads that end leave theirs to the garbage collector, which closes it."""
        limits = self._limits
        settings = {
            **SETTINGS,
            "max_memory_usage": limits.query_memory_bytes,
            "max_execution_time": limits.query_s,
            "max_threads": limits.threads,
        }
        return clickhouse_connect.get_client(
            interface="chdb",
            path=str(self.path / "chdb"),
            settings=settings,
            chdb_options={
                "max_server_memory_usage": limits.memory_bytes,
                "backups.allowed_path": "/",  # where this process may write is for the system to say
            },
        )


def quoted(text: str) -> str:
    """A string literal, where the engine takes no parameter."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def plain(error: Exception) -> str:
    """The engine's sentence without its version and stack."""
    return _TRAILER.sub("", str(error)).strip()
