"""What the store is asked: rows, facts and levels in, each once out. Not how the engine is reached."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import StoreLimits
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import MINUTE_S, NS, SIGNAL_SCHEMA, Fact, fact_batch, facts_of
from otel_cx_collector.store import sql
from otel_cx_collector.store.database import Database
from otel_cx_collector.store.engine import Engine, StoreError, quoted
from otel_cx_collector.store.migrate import migrate
from otel_cx_collector.store.rollups import RollupTables

__all__ = ["Count", "Store", "StoreError", "TableSize"]

DAY_S: Final = 86_400
INSERT_ROWS: Final = 500_000
"""Most rows of one insert: half of what the engine makes one part of."""


@dataclass(frozen=True, slots=True)
class Count:
    """Executions stored of one step in one service."""

    environment: str
    journey: str
    step: str
    service: str
    grade: str
    rows: int
    last_end_ns: int


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table on disk; ``rows`` counts copies that no merge has met yet."""

    rows: int = 0
    bytes: int = 0
    parts: int = 0


class Store(RollupTables):
    """Step rows, heartbeats, facts and levels over one directory. Thread-safe.

    Opening brings the schema up to date; raises UserError when it cannot be opened or is of a later version. Everything
    else raises StoreError when the store fails. ``clock`` stamps inserts: nanoseconds since the epoch.
    """

    def __init__(self, path: Path, limits: StoreLimits | None = None, clock: Callable[[], int] = now_ns) -> None:
        limits = limits or StoreLimits()
        self._hold(Engine(path, limits), limits, clock)
        try:
            migrate(self._engine, self._issued_us, self.limits)
        except BaseException:
            self._engine.close()
            raise

    def _hold(self, engine: Database, limits: StoreLimits, clock: Callable[[], int]) -> None:
        self.limits = limits
        self._clock = clock
        self._inserting = threading.Lock()
        self._engine = engine
        self._issued_us = self._visible_us = clock() // 1000
        self._latest_us = dict.fromkeys(("facts", "signals"), self._visible_us)
        """Stamp of each table's last insert, so that a question about nothing new costs no query."""

    @classmethod
    @contextmanager
    def temporary(cls, limits: StoreLimits | None = None, clock: Callable[[], int] = now_ns) -> Iterator[Self]:
        """A store in a private directory that goes with it, for a replay: it keeps rows of any age.

        Nobody waits for it and nothing is beside it, so that without ``limits`` it takes the time and memory it needs.
        """
        limits = limits or StoreLimits(memory_bytes=0, query_memory_bytes=0, query_s=0)
        limits = replace(limits, keep_ns=None)
        with (
            tempfile.TemporaryDirectory(prefix="otel-cx-") as directory,
            cls(Path(directory) / "store", limits, clock) as store,
        ):
            yield store

    def insert_steps(self, rows: pa.Table) -> None:
        """Insert rows of STEP_SCHEMA: durable and visible when this returns.

        Several days take several inserts; when one fails those before it stay, which a second try does not mind.
        """
        with self._inserting:
            for part in _by_day(rows, "minute"):
                for start in range(0, part.num_rows, INSERT_ROWS):
                    self._insert("steps", part.slice(start, INSERT_ROWS))

    def steps(self, journey: str, start_ns: int, end_ns: int, environments: Sequence[str]) -> pa.Table:
        """Executions that ended in [start_ns, end_ns), each once, sorted by (attempt, end, span_id).

        Columns are those of STEP_SCHEMA and ``inserted_at`` (int64 microseconds). The strings of few values come
        dictionary-encoded. One chunk a column.
        """
        asked = {"journey": journey, "environments": list(environments), **_between(start_ns, end_ns)}
        return _sorted(self._engine.query(sql.query("steps"), asked))

    def cursor_us(self) -> int:
        """Where steps_inserted_since begins: all that is visible now is at or before it, all that comes is after."""
        return self._visible_us

    def steps_inserted_since(self, journey: str, cursor_us: int) -> tuple[pa.Table, int]:
        """Copies inserted after a cursor, and the next cursor; columns and order as of ``steps``.

        No insert is missed and none comes twice: each has a stamp of its own, in the order they become visible in. Of
        an execution sent twice both copies may come: the caller keeps the highest version of each (attempt, minute,
        span_id). A cursor is good while this store is open; after that begin with cursor_us() again.
        """
        rows, next_us = self._since(cursor_us, sql.query("steps_inserted"), {"journey": journey})
        return _sorted(rows), next_us

    def insert_facts(self, facts: Sequence[Fact]) -> None:
        """Insert facts: durable and visible when this returns. Of those with one id the last, here or later, stays."""
        latest = list({fact.id: fact for fact in facts}.values())
        rows = _with_second(pa.Table.from_batches([fact_batch(latest)]))
        with self._inserting:
            for start in range(0, rows.num_rows, INSERT_ROWS):
                self._insert("facts", rows.slice(start, INSERT_ROWS))

    def facts(self, start_ns: int, end_ns: int) -> list[Fact]:
        """Facts whose time is in [start_ns, end_ns), each once, by time and id."""
        return facts_of(self._engine.query(sql.query("facts"), {"start_ns": start_ns, "end_ns": end_ns}))

    def facts_since(self, cursor_us: int) -> tuple[list[Fact], int]:
        """Facts inserted after a cursor, by time and id, and the next cursor; see ``steps_inserted_since``.

        A fact that was sent again comes again, with its latest text.
        """
        rows, to_us = self._inserted("facts", sql.query("facts_inserted"), cursor_us)
        return ([] if rows is None else facts_of(rows)), to_us

    def insert_signals(self, points: pa.Table) -> None:
        """Insert rows of SIGNAL_SCHEMA: durable and visible when this returns."""
        with self._inserting:
            for part in _by_day(_with_second(points), "second"):
                for start in range(0, part.num_rows, INSERT_ROWS):
                    self._insert("signals", part.slice(start, INSERT_ROWS))

    def signals(self, resources: Sequence[str], start_ns: int, end_ns: int) -> pa.Table:
        """Levels of these resources measured in [start_ns, end_ns), each once, in no order. Columns: SIGNAL_SCHEMA's.

        The strings come dictionary-encoded.
        """
        asked = {
            "resources": list(resources),
            "start_ns": start_ns,
            "end_ns": end_ns,
            "from_s": _seconds(start_ns),
            "to_s": _seconds(end_ns),
        }
        return self._engine.query(sql.query("signals"), asked)

    def signals_since(self, cursor_us: int) -> tuple[pa.Table, int]:
        """Levels of all resources inserted after a cursor, in no order, and the next cursor.

        As ``steps_inserted_since``; copies of one level have the same time and value.
        """
        rows, to_us = self._inserted("signals", sql.query("signals_inserted"), cursor_us)
        return (SIGNAL_SCHEMA.empty_table() if rows is None else rows), to_us

    def heartbeat(self, node: str, slices_s: Sequence[int]) -> None:
        """Note that ``node`` has reported for the slices that start at these seconds."""
        slices = pa.array(sorted(set(slices_s)), pa.uint32())
        for part in _by_day(pa.table({"node": pa.array([node] * len(slices)), "slice": slices}), "slice"):
            self._engine.insert("heartbeats", part)

    def heartbeats(self, start_s: int, end_s: int) -> dict[str, list[int]]:
        """Each node's slices in [start_s, end_s), in order."""
        answer = self._engine.query(sql.query("heartbeats"), {"start_s": start_s, "end_s": end_s})
        nodes: dict[str, list[int]] = {}
        for node, slice_s in zip(answer["node"].to_pylist(), answer["slice_s"].to_pylist(), strict=True):
            nodes.setdefault(node, []).append(slice_s)
        return nodes

    def counts(self, start_ns: int, end_ns: int) -> list[Count]:
        """What is stored with an end in [start_ns, end_ns), each execution once."""
        return [Count(**row) for row in self._engine.query(sql.query("counts"), _between(start_ns, end_ns)).to_pylist()]

    def stats(self) -> dict[str, TableSize]:
        """Size of each table on disk."""
        rows = self._engine.query(sql.query("stats")).to_pylist()
        tables = ("steps", "heartbeats", "facts", "signals")
        return dict.fromkeys(tables, TableSize()) | {row.pop("table"): TableSize(**row) for row in rows}

    def erase(self, column: str, pseudonym: str) -> dict[str, int]:
        """Delete what is of one ``customer`` or ``account``; how many copies of rows that were, by table.

        They are gone from every answer when this returns, and from the disk some ten minutes later. Roll-ups keep their
        counts. What is inserted meanwhile or afterwards stays: let the log forget it first.
        """
        if column not in {"customer", "account"}:
            raise ValueError(f"rows are not erased by {column!r}; erase a customer or an account")
        asked: dict[str, object] = {"column": column, "pseudonym": pseudonym}
        found = {"steps": 0, "facts": 0}
        for holder in self._holders():
            (row,) = holder.query(sql.query("erase_count"), asked).to_pylist()
            digest = {"column": column, "digest": row.pop("digest")}
            for table, count in row.items():
                found[table] += count
            if row["steps"]:
                holder.command(sql.query("erase_steps"), digest)
            if row["facts"]:
                holder.command(sql.query("erase_facts"), digest)
        return found

    def _holders(self) -> Sequence[Database]:
        """Each database whose tables hold rows."""
        return [self._engine]

    def back_up(self, directory: Path) -> None:
        """Copy all tables as they are now into ``directory``, which must not exist. Inserts go on meanwhile."""
        self._engine.command(sql.query("back_up").replace("DIRECTORY", quoted(str(directory.absolute()))))

    @staticmethod
    def restore(path: Path, directory: Path) -> None:
        """Make a store in ``path`` out of what ``back_up`` wrote. Raises UserError when there is something already."""
        if path.exists() and any(path.iterdir()):
            raise UserError(f"{path} is not empty; restore into a directory that does not exist yet")
        engine = Engine(path, StoreLimits())
        try:
            engine.command(sql.query("restore").replace("DIRECTORY", quoted(str(directory.absolute()))))
            engine.sync()
        finally:
            engine.close()

    def close(self) -> None:
        """Wait for inserts and let go of the directory."""
        with self._inserting:
            self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _inserted(self, table: str, query: str, cursor_us: int) -> tuple[pa.Table | None, int]:
        """What was inserted after a cursor, None when that is nothing, and the next cursor."""
        if self._latest_us[table] <= cursor_us:
            return None, self._visible_us
        return self._since(cursor_us, query, {})

    def _since(self, cursor_us: int, query: str, asked: dict[str, object]) -> tuple[pa.Table, int]:
        """What a query finds that was inserted after a cursor, and the next cursor."""
        to_us = self._visible_us
        return self._engine.query(query, {**asked, "after_us": cursor_us, "to_us": to_us}), to_us

    def _stamp(self) -> int:
        with self._inserting:
            self._issued_us = max(self._clock() // 1000, self._issued_us + 1)
            return self._issued_us

    def _insert(self, table: str, rows: pa.Table) -> None:
        # A stamp that failed is not used again: the rows may be there all the same.
        self._issued_us = max(self._clock() // 1000, self._issued_us + 1)
        stamp = pa.repeat(pa.scalar(self._issued_us, pa.timestamp("us")), rows.num_rows)
        self._engine.insert(table, rows.append_column("inserted_at", stamp))
        self._latest_us[table] = self._visible_us = self._issued_us


def _sorted(rows: pa.Table) -> pa.Table:
    order = pc.sort_indices(rows, [("attempt", "ascending"), ("end", "ascending"), ("span_id", "ascending")])
    return rows.take(order).combine_chunks()


def _between(start_ns: int, end_ns: int) -> dict[str, int]:
    """Bounds by end, and the minutes that can hold them: these are what the table is sorted and cut by."""
    return {
        "start_ns": start_ns,
        "end_ns": end_ns,
        "from_minute": _minute(start_ns),
        "to_minute": _minute(end_ns - 1),
    }


def _minute(at_ns: int) -> int:
    return _seconds(at_ns) // MINUTE_S * MINUTE_S


def _seconds(at_ns: int) -> int:
    return min(max(at_ns // NS, 0), 2**32 - 1)


def _with_second(rows: pa.Table) -> pa.Table:
    """With the column that retention is counted by."""
    return rows.append_column("second", pc.divide(rows["at_ns"], NS).cast(pa.uint32()))


def _by_day(rows: pa.Table, column: str) -> Iterator[pa.Table]:
    """Rows by the day of a column of seconds: the partition they belong to."""
    if rows.num_rows == 0:
        return
    days = pc.divide(rows[column], pa.scalar(DAY_S, pa.uint32()))
    for day in pc.unique(days).to_pylist():
        yield rows.filter(pc.equal(days, day))
