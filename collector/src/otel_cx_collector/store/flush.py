"""Carries what the log holds into the store, in order, for as long as it takes. Not who appends, nor what is stored."""

import threading
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import pyarrow as pa
import structlog

from otel_cx_collector.config import StoreLimits
from otel_cx_collector.events import NS, Fact, facts_of
from otel_cx_collector.log import Log

IDLE_S: Final = 0.5
"""Longest sleep of a flusher with nothing to do; also how long stopping may take it to notice."""
FIRST_RETRY_S: Final = 0.1
LAST_RETRY_S: Final = 5.0
"""Waits double between these: a store that is back is found within this time."""

_logger = structlog.get_logger(__name__)


class RowSink(Protocol):
    """Where rows go: the store, or a test's idea of one.

    Each method returns when what it was given is durable, and raises when that is not sure: it may come again.
    """

    def insert_steps(self, rows: pa.Table) -> None:
        """Take rows of STEP_SCHEMA."""

    def insert_signals(self, points: pa.Table) -> None:
        """Take rows of SIGNAL_SCHEMA."""

    def insert_facts(self, facts: list[Fact]) -> None:
        """Take facts, in the order they came in."""


@dataclass(frozen=True, slots=True)
class FlushState:
    """How the flusher fares. Counts are since it was started."""

    position: int
    """Everything in the log up to here is in the store."""
    rows: int = 0
    blocks: int = 0
    errors: int = 0
    failing: bool = False
    """The last try failed."""
    last_error: str = ""
    """What the last failure said, kept after it is over."""


@dataclass(slots=True)
class _Block:
    """What is sent before the log is told: batches of one schema together, whatever came between them."""

    tables: list[list[pa.RecordBatch]] = field(default_factory=list)
    """Not yet in the store."""
    rows: int = 0
    last: int = 0
    full: bool = False
    """It ended before the log did, or where it did by chance."""

    def add(self, position: int, batch: pa.RecordBatch) -> None:
        """Take one more batch, in the order of the log."""
        table = next((each for each in self.tables if each[0].schema.equals(batch.schema)), None)
        if table is None:
            self.tables.append([batch])
        else:
            table.append(batch)
        self.last = position
        self.rows += batch.num_rows


class Flusher:
    """A thread that sends the log's batches to the store in blocks, then lets the log forget them.

    It reads the log itself, never a queue in memory, so a store that is away costs disk and not memory; what a crash
    left in the log is sent first, by the same path. A failure is retried until the store takes the block.
    """

    def __init__(self, log: Log, store: RowSink, limits: StoreLimits | None = None) -> None:
        self._log = log
        self._store = store
        self._limits = limits or StoreLimits()
        self._state = FlushState(log.stored)
        self._block: _Block | None = None
        """The one that is being sent, kept when that fails: what of it the store has taken is not sent again."""
        self._moved = threading.Condition()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flush", daemon=True)

    @property
    def state(self) -> FlushState:
        """A snapshot."""
        return self._state

    def start(self) -> None:
        """Begin with what the log holds."""
        self._thread.start()

    def flush(self, timeout_s: float) -> bool:
        """Whether all that the log holds now reached the store before ``timeout_s`` was over."""
        target = self._log.last
        self._hurry.set()
        try:
            with self._moved:
                return self._moved.wait_for(lambda: self._state.position >= target, timeout_s)
        finally:
            self._hurry.clear()

    def stop(self, timeout_s: float) -> bool:
        """Send what is left, trying once, and end the thread; whether everything reached the store in ``timeout_s``.

        What did not is in the log and is sent at the next start.
        """
        self._stopping.set()
        self._hurry.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive() and self._state.position >= self._log.last

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._log.wait(self._state.position, IDLE_S):
                self._hurry.wait(self._limits.block_ns / NS)  # for others to come along
                self._drain()
        self._drain()

    def _drain(self) -> None:
        """Send blocks until the log has no more than what came meanwhile; give up only when stopping."""
        delay = FIRST_RETRY_S
        while True:
            try:
                more = self._send()
            except Exception as error:  # noqa: BLE001 - whatever goes wrong, the rows are in the log and must go on
                self._failed(error)
                if self._stopping.wait(delay):
                    return
                delay = min(delay * 2, LAST_RETRY_S)
            else:
                delay = FIRST_RETRY_S
                if not more:
                    return

    def _send(self) -> bool:
        """Send one block; whether more may be waiting: it was full, or failed before while the log went on growing."""
        waited = self._block is not None
        block = self._block = self._block or self._gather()
        if block is None:
            return False
        while block.tables:
            self._insert(pa.Table.from_batches(block.tables[0]))
            block.tables.pop(0)
        self._block = None
        try:
            self._log.mark_stored(block.last)
        finally:  # unmarked is sent again only after a restart
            self._sent(block)
        return block.full or waited

    def _insert(self, rows: pa.Table) -> None:
        """Into the table that the schema names; steps were there before schemas did."""
        table = (rows.schema.metadata or {}).get(b"table")
        if table == b"signals":
            self._store.insert_signals(rows)
        elif table == b"facts":
            self._store.insert_facts(facts_of(rows))
        else:
            self._store.insert_steps(rows)

    def _gather(self) -> _Block | None:
        """The next batches, up to a block's size."""
        block = _Block()
        for position, batch in self._log.read(self._state.position):
            block.add(position, batch)
            block.full = block.rows >= self._limits.block_rows
            if block.full:
                break
        return block if block.tables else None

    def _sent(self, block: _Block) -> None:
        if self._state.failing:
            _logger.info("store.recovered", errors=self._state.errors)
        with self._moved:
            state = self._state
            self._state = replace(
                state,
                position=block.last,
                rows=state.rows + block.rows,
                blocks=state.blocks + 1,
                failing=False,
            )
            self._moved.notify_all()

    def _failed(self, error: Exception) -> None:
        state = self._state
        if not state.failing:
            _logger.error("store.failing", error=str(error), position=state.position)
        self._state = replace(state, errors=state.errors + 1, failing=True, last_error=str(error) or repr(error))
