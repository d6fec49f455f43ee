"""The store on ClickHouse servers: the same questions as the embedded one, asked of one server or of a cluster."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import structlog

from otel_cx_collector.config import ClickHouse, StoreLimits
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import STORED_NS
from otel_cx_collector.store import sql
from otel_cx_collector.store.client import Store, TableSize
from otel_cx_collector.store.cluster import Cluster
from otel_cx_collector.store.database import Database
from otel_cx_collector.store.engine import StoreError
from otel_cx_collector.store.server import INSERT_S

OVERLAP_S: Final = 30
"""How far before a cursor is read again: an insert of another node is stamped when it begins and seen when it ends, at
most INSERT_S later; the rest is for servers' clocks that differ."""
_US: Final = 1_000_000

_logger = structlog.get_logger(__name__)


class RemoteStore(Store):
    """Step rows, heartbeats, facts, levels and roll-ups on ClickHouse servers. Thread-safe.

    Several processes insert, so what is asked for since a cursor may come again: rows have keys, and the caller takes
    repeats. Servers that are away do not keep it from opening: everything raises StoreError, mostly Away, until they
    are back.

    Raises:
        UserError: The password is not taken or cannot be read, the cluster is not known, the user may not do what is
            needed, a later version wrote the schema.
    """

    def __init__(
        self,
        address: ClickHouse,
        limits: StoreLimits | None = None,
        password_file: Path | None = None,
        ca_file: Path | None = None,
    ) -> None:
        limits = limits or StoreLimits()
        self._servers = Cluster(address, limits, password_file, ca_file)
        self._hold(self._servers, limits, lambda: 0)
        self._clock = self._servers.now_ns
        try:
            self._servers.prepare()
        except StoreError as error:
            _logger.warning("store.away", why=str(error))
        except BaseException:
            self._servers.close()
            raise

    def health(self) -> str:
        """Empty when every server answers, else who does not."""
        return self._servers.health()

    def cursor_us(self) -> int:
        """Where steps_inserted_since begins."""
        return self._clock() // 1000

    def stats(self) -> dict[str, TableSize]:
        """Size of each table on the disks of all servers."""
        total = dict.fromkeys(("steps", "heartbeats", "facts", "signals"), TableSize())
        for server in self._servers.everywhere():
            for row in server.query(sql.query("stats")).to_pylist():
                name, size = row.pop("table"), TableSize(**row)
                known = total.get(name, TableSize())
                total[name] = TableSize(known.rows + size.rows, known.bytes + size.bytes, known.parts + size.parts)
        return total

    def back_up(self, directory: Path) -> None:
        """Servers are backed up by their own means: always raises UserError."""
        raise UserError(
            f"the store on {self._servers.path} is not copied into {directory}; back up its databases with the "
            f"servers' own BACKUP statement, as docs/how-to/cluster.md says"
        )

    def _holders(self) -> Sequence[Database]:
        return self._servers.everywhere()

    def _stamp(self) -> int:
        """Earlier by the overlap: what is seen only later has a later stamp, and is counted again."""
        return super()._stamp() - OVERLAP_S * _US

    def _inserted(self, table: str, query: str, cursor_us: int) -> tuple[pa.Table | None, int]:  # noqa: ARG002 - who else inserted is not known here
        return self._since(cursor_us, query, {})

    def _since(self, cursor_us: int, query: str, asked: dict[str, object]) -> tuple[pa.Table, int]:
        """Also what stands up to OVERLAP_S before the cursor; nothing is too late, however a clock goes."""
        next_us = self.cursor_us()
        after_us = max(0, min(cursor_us, next_us) - OVERLAP_S * _US)
        return self._engine.query(query, {**asked, "after_us": after_us, "to_us": STORED_NS // 1000}), next_us

    def _insert(self, table: str, rows: pa.Table) -> None:
        super()._insert(table, rows)
        took_us = self.cursor_us() - self._issued_us
        if took_us > INSERT_S * _US:
            raise StoreError(
                f"an insert into {table} took {took_us / _US:.0f} s, longer than {INSERT_S} s: who reads what is new "
                f"may have passed it by, so it is sent again"
            )
