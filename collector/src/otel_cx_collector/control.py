"""One evaluation round on one screen: what is new in the store, judged at the newest settled slice boundary.

Control answers ``views.source.Source``: everything the pages, the API and the stream of events ask. Rows of the last
days stay in memory as Arrow tables, so that a question costs no query; a round reads only what was inserted since the
last one. No figure is computed here: that is ``measure``.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from otel_cx_collector.errors import Unavailable
from otel_cx_collector.events import MINUTE_S, NS, SLICE_S
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.measure import evaluation as measure
from otel_cx_collector.measure.columns import Bools, Ints, build
from otel_cx_collector.measure.evaluation import Evaluation
from otel_cx_collector.measure.figures import Coverage, Exemplar, Figures, Live, Series, Share
from otel_cx_collector.traffic import Observed
from otel_cx_collector.views.source import Intake, NotFound

SETTLE_MIN_S: Final = 15
SETTLE_MAX_S: Final = 120
"""An evaluation waits for stragglers: the services' p99 arrival lag, within these bounds (measures.md 1.2)."""
LAG_WINDOW_S: Final = 600
"""The arrival lag is taken from executions of the last ten minutes that ended while this process was up."""
REACH_S: Final = 8 * 24 * 3600
"""Rows stay in memory as long as the store keeps them, but"""
ROWS_LIMIT: Final = 2_000_000
"""no more than this many a journey (about 0.5 GiB): over it the oldest go, and the figures say since when."""
CACHE_LIMIT: Final = 512
"""Answers remembered of a journey until the next round; more questions than that are computed each time."""
COVERAGE_MIN: Final = 0.9
"""Below this share of measured slices a verdict is `unmeasured` (measures.md 1.4)."""
SLICES_A_MINUTE: Final = MINUTE_S // SLICE_S

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Rows(Protocol):
    """What control needs of the store."""

    def steps(self, journey: str, start_ns: int, end_ns: int, environments: tuple[str, ...]) -> pa.Table:
        """Rows of a journey, deduplicated, sorted by attempt key, end, span id."""
        ...

    def cursor_us(self) -> int:
        """Where ``steps_inserted_since`` begins."""
        ...

    def steps_inserted_since(self, journey: str, cursor_us: int) -> tuple[pa.Table, int]:
        """Copies of rows inserted after the cursor, of all environments, and the next cursor."""
        ...

    def heartbeat(self, node: str, slices_s: list[int]) -> None:
        """Say that the node was up and took what came during these slices."""
        ...

    def heartbeats(self, start_s: int, end_s: int) -> dict[str, list[int]]:
        """Slices for which each node said so."""
        ...


@dataclass(slots=True)
class Memory:
    """One journey's rows, and how far the store has been read."""

    table: pa.Table
    cursor_us: int
    found: Evaluation
    """As of the watermark."""
    answers: dict[tuple[object, ...], object] = field(default_factory=dict)
    """Questions about these rows that were answered already; they go with the round."""

    def once(self, question: tuple[object, ...], answer: Callable[[], T]) -> T:
        """Compute an answer at most once a round."""
        if question not in self.answers:
            found = answer()
            if len(self.answers) >= CACHE_LIMIT:
                return found
            self.answers[question] = found
        return self.answers[question]  # type: ignore[return-value] # the key names the kind of answer


@dataclass(slots=True)
class Control:
    """Judges, remembers the last round, and answers questions about it. Every method may be called from any thread.

    Attributes:
        inventory: The file in force.
        rows: The store.
        node: This process's name among the ingest nodes.
        clock: Nanoseconds since the epoch.
        flushed: Blocks until what was acknowledged before the call is stored; raises Unavailable when it is not.
        counters: Reads what arrived so far.
        observed: Reads the traffic that no journey maps.
        took_all: Whether everything that came since the last call was accepted: a slice with refusals is unmeasured.
    """

    inventory: Inventory
    rows: Rows
    node: str
    clock: Callable[[], int]
    flushed: Callable[[], None]
    counters: Callable[[], Intake]
    observed: Callable[[], list[Observed]]
    took_all: Callable[[], bool]
    _memory: dict[str, Memory] = field(default_factory=dict)
    _slices: list[Ints] = field(default_factory=list)
    """Of each node, the slices it reported for, ascending."""
    _started_s: int = 0
    _beaten_s: int = 0
    _watermark_s: int = 0
    _settle_s: int = SETTLE_MIN_S
    _round: int = 0
    _error: str = ""
    _turned: threading.Condition = field(default_factory=threading.Condition)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        """Nothing was taken before now."""
        self._started_s = self.now_s()
        self._beaten_s = self._started_s // SLICE_S * SLICE_S

    # ------------------------------------------------------------------ rounds

    def start(self) -> None:
        """Judge every slice boundary in a thread of its own, from now on."""
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the round under way."""
        self._stop.set()
        with self._turned:
            self._turned.notify_all()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.judge()
            except Exception as error:
                self._error = str(error) or type(error).__name__
                log.exception("round.failed")
            due = (self._watermark_s + SLICE_S + self._settle_s) * NS
            wait_s = min(max((due - self.clock()) / NS, 0.5), SLICE_S)
            self._stop.wait(wait_s)

    def judge(self) -> None:
        """One round: heartbeat, flush, read what is new, evaluate every journey at the newest settled boundary T."""
        now_s = self.now_s()
        self._beat(now_s)
        self.flushed()
        beats = self.rows.heartbeats(now_s - REACH_S, now_s + SLICE_S)
        self._slices = [np.array(slices) for slices in beats.values() if slices]
        tables = {name: self._read(name, now_s) for name in self.inventory.journeys}
        since_s = max(self._started_s, now_s - LAG_WINDOW_S)
        self._settle_s = settle_s([table for table, _ in tables.values()], since_s)
        watermark = max(self._watermark_s, (now_s - self._settle_s) // SLICE_S * SLICE_S)
        memory = {
            name: Memory(table, cursor, self._evaluate(name, table, watermark))
            for name, (table, cursor) in tables.items()
        }
        with self._turned:
            self._memory, self._watermark_s, self._error = memory, watermark, ""
            self._round += 1
            self._turned.notify_all()

    def _beat(self, now_s: int) -> None:
        """Say for every slice that has ended since the last call that this node took what came."""
        ended = list(range(self._beaten_s, now_s // SLICE_S * SLICE_S, SLICE_S))
        if ended and self.took_all():
            self.rows.heartbeat(self.node, ended)
        self._beaten_s = max(self._beaten_s, now_s // SLICE_S * SLICE_S)

    def _read(self, name: str, now_s: int) -> tuple[pa.Table, int]:
        environments = self.inventory.environments
        known = self._memory.get(name)
        if known is None:
            # The cursor first: what is inserted while the rows are read comes again with the next round.
            cursor = self.rows.cursor_us()
            table = self.rows.steps(name, (now_s - REACH_S) * NS, (now_s + MINUTE_S * 10) * NS, environments)
        else:
            fresh, cursor = self.rows.steps_inserted_since(name, known.cursor_us)
            fresh = fresh.filter(pc.is_in(fresh["environment"].cast(pa.string()), value_set=pa.array(environments)))
            table = merge(known.table, fresh) if fresh.num_rows else known.table
        if table.num_rows > ROWS_LIMIT:
            table = newest(table, ROWS_LIMIT)
        return table, cursor

    def _evaluate(self, name: str, table: pa.Table, at_s: int) -> Evaluation:
        measured = self._measured_minutes(table, at_s)
        return measure.evaluate(table, self.inventory.journeys[name], self.inventory, at_s * NS, measured)

    # ---------------------------------------------------------------- coverage

    def _measured_slices(self, from_s: int, to_s: int) -> Bools:
        """Of every slice in ``[from_s, to_s)``: whether every node that should report did.

        Before a node's first heartbeat it was not expected: what reached us late about that time is all there is.
        """
        count = max(0, (to_s - from_s) // SLICE_S)
        measured = np.ones(count, dtype=np.bool_)
        for slices in self._slices:
            beaten = np.zeros(count, dtype=np.bool_)
            index = (slices - from_s) // SLICE_S
            beaten[index[(index >= 0) & (index < count)]] = True
            beaten[: max(0, index.min())] = True
            measured &= beaten
        return measured

    def _measured_minutes(self, table: pa.Table, at_s: int) -> Bools:
        """Of every closed minute from the journey's first data on."""
        closed = at_s // MINUTE_S * MINUTE_S
        first = closed
        if table.num_rows:
            first = min(closed, pc.min(table["end"]).as_py() // NS // MINUTE_S * MINUTE_S)
        slices = self._measured_slices(first, closed)
        return np.asarray(slices.reshape(-1, SLICES_A_MINUTE).all(axis=1), dtype=np.bool_)

    def coverage(self, journey: str, from_s: int, to_s: int) -> Coverage:
        """Measured of expected slices; expected ones begin with the journey's first data (1.4)."""
        found = self._of(journey).found
        if not len(found.columns):
            return Coverage(0, 0, None, "no data of this journey has arrived yet")
        first = int(found.columns.time.min()) // NS // SLICE_S * SLICE_S
        begin = max(from_s // SLICE_S * SLICE_S, first)
        slices = self._measured_slices(begin, to_s // SLICE_S * SLICE_S)
        measured, expected = int(slices.sum()), len(slices)
        return Coverage(
            measured=measured,
            expected=expected,
            since_s=first if first > from_s else None,
            reason=self._why_unmeasured(measured, expected),
        )

    def _why_unmeasured(self, measured: int, expected: int) -> str:
        if self._error:
            return f"the last evaluation failed: {self._error}"
        if expected and measured < COVERAGE_MIN * expected:
            return f"the collector was down or refusing for {(expected - measured) * SLICE_S} s of this window"
        return ""

    # ----------------------------------------------------------------- answers

    def now_s(self) -> int:
        """The wall clock."""
        return self.clock() // NS

    def watermark_s(self) -> int:
        """T of the last round; it never goes back."""
        return self._watermark_s

    def round(self) -> int:
        """How many rounds were judged."""
        return self._round

    def wait_round(self, after: int, timeout_s: float) -> int:
        """Block until a round beyond ``after`` is there, the timeout, or the end."""
        with self._turned:
            self._turned.wait_for(lambda: self._round > after or self._stop.is_set(), timeout_s)
            return self._round

    def live(self, journey: str) -> Live:
        """The live score at T."""
        memory = self._of(journey)
        return memory.once(("live",), lambda: measure.live(memory.found))

    def figures(self, journey: str, from_s: int, to_s: int) -> Figures:
        """Everything counted over the window, as of its end."""
        memory = self._of(journey)
        return memory.once(
            ("figures", from_s, to_s), lambda: measure.figures(self._as_of(memory, to_s), from_s * NS, to_s * NS)
        )

    def series(self, journey: str, from_s: int, to_s: int, step_s: int) -> Series:
        """The window in equal steps; those after T are provisional."""
        memory = self._of(journey)
        return memory.once(
            ("series", from_s, to_s, step_s),
            lambda: measure.series(self._latest(memory), from_s, to_s, step_s, memory.found.as_of_ns // NS),
        )

    def matrix(self, journey: str, from_s: int, to_s: int, rows: str, columns: str) -> dict[tuple[str, str], Share]:
        """Executions and customers by two dimensions."""
        memory = self._of(journey)
        return memory.once(
            ("matrix", from_s, to_s, rows, columns),
            lambda: measure.matrix(self._as_of(memory, to_s), from_s * NS, to_s * NS, rows, columns),
        )

    def exemplars(self, journey: str, from_s: int, to_s: int, limit: int) -> list[Exemplar]:
        """Harmful executions to look up in the trace back end."""
        memory = self._of(journey)
        return memory.once(
            ("exemplars", from_s, to_s, limit),
            lambda: measure.exemplars(self._as_of(memory, to_s), from_s * NS, to_s * NS, limit),
        )

    def intake(self) -> Intake:
        """Counters of what arrived; a failed round counts as a store error."""
        intake = self.counters()
        return replace(intake, store_ok=False, store_error=self._error) if self._error else intake

    def traffic(self) -> list[Observed]:
        """Traffic that no journey maps."""
        return self.observed()

    def _of(self, journey: str) -> Memory:
        if journey not in self.inventory.journeys:
            raise NotFound(f"there is no journey {journey!r}; the inventory has {', '.join(self.inventory.journeys)}")
        if journey not in self._memory:
            raise Unavailable(self._error or "the first evaluation is still under way", SLICE_S)
        return self._memory[journey]

    def _as_of(self, memory: Memory, to_s: int) -> Evaluation:
        """The journey as of ``to_s``: the round's evaluation, or one made for the question."""
        found = memory.found
        if to_s * NS >= found.as_of_ns:
            return found
        return memory.once(("as of", to_s), lambda: self._evaluate(found.journey.name, memory.table, to_s))

    def _latest(self, memory: Memory) -> Evaluation:
        """The round's evaluation with the rows that came after T added."""
        found = memory.found
        return memory.once(
            ("latest",), lambda: replace(found, columns=build(memory.table, found.journey, self.inventory))
        )


def merge(table: pa.Table, fresh: pa.Table) -> pa.Table:
    """Rows of both, of each execution the copy with the highest version, sorted by attempt key, end, span id."""
    both = pa.concat_tables([table, fresh], promote_options="permissive").unify_dictionaries()
    order = pc.sort_indices(
        both.select(["attempt", "minute", "span_id", "version"]),
        [("attempt", "ascending"), ("minute", "ascending"), ("span_id", "ascending"), ("version", "descending")],
    )
    both = both.take(order)
    same = np.ones(both.num_rows, dtype=np.bool_)
    for name in ("attempt", "minute", "span_id"):
        column = both[name].combine_chunks()
        same[1:] &= pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    same[0] = False
    kept = both.filter(pa.array(~same))
    return kept.sort_by([("attempt", "ascending"), ("end", "ascending"), ("span_id", "ascending")])


def newest(table: pa.Table, limit: int) -> pa.Table:
    """The rows of the newest whole minutes that fit the limit, in the same order."""
    ends = np.sort(table["end"].to_numpy())
    edge = (ends[-limit] // (MINUTE_S * NS) + 1) * MINUTE_S * NS
    return table.filter(pc.greater_equal(table["end"], int(edge)))


def settle_s(tables: list[pa.Table], since_s: int) -> int:
    """How long to wait for stragglers: the largest p99 arrival lag of a service, within its bounds (1.2).

    Executions that ended before ``since_s`` are left out: what came about a time before we were up is a delivery that
    had to wait for us, or history, and says nothing of the way here.
    """
    worst = 0.0
    for table in tables:
        recent = table.filter(pc.greater_equal(table["end"], since_s * NS))
        lag_s = (recent["inserted_at"].to_numpy() * 1000 - recent["end"].to_numpy()) / NS
        service = recent["service"].cast(pa.string()).combine_chunks().dictionary_encode()
        codes = service.indices.to_numpy(zero_copy_only=False)
        for code in np.unique(codes):
            worst = max(worst, float(np.quantile(lag_s[codes == code], 0.99)))
    return int(min(max(SETTLE_MIN_S, np.ceil(worst)), SETTLE_MAX_S))
