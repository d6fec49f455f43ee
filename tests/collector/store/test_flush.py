"""From the log to the store: in order, in blocks, for as long as the store takes to come back."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from step_rows import rows_of, step_row

from otel_cx_collector.errors import Unavailable
from otel_cx_collector.events import Fact, FactKind, SignalPoint, fact_batch, signal_batch, to_batch
from otel_cx_collector.log import Log, LogLimits
from otel_cx_collector.store import Flusher, Store, StoreError, StoreLimits

SMALL = LogLimits(max_bytes=1 << 20, segment_bytes=1 << 14, batch_bytes=1 << 16, min_free_bytes=0)
QUICK = StoreLimits(block_ns=1_000_000)


class Shelf:
    """A store that keeps what it is given in memory, and fails while it is told to."""

    def __init__(self, *, failing: bool = False) -> None:
        self.blocks: list[list[int]] = []
        self.points: list[list[float]] = []
        self.facts: list[list[str]] = []
        self.failing = threading.Event()
        self.tried = threading.Semaphore(0)
        if failing:
            self.failing.set()

    def insert_steps(self, rows: pa.Table) -> None:
        self.tried.release()
        if self.failing.is_set():
            raise StoreError("the store is away")
        self.blocks.append([row.span_id[-1] for row in rows_of(rows)])

    def insert_signals(self, points: pa.Table) -> None:
        self.points.append(points["value"].to_pylist())

    def insert_facts(self, facts: list[Fact]) -> None:
        self.facts.append([fact.id for fact in facts])

    @property
    def rows(self) -> list[int]:
        return [number for block in self.blocks for number in block]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log(tmp_path / "log", SMALL) as log:
        yield log


def append(log: Log, *numbers: int) -> int:
    return log.append(to_batch([step_row(number) for number in numbers]))


def running(log: Log, shelf: Shelf, limits: StoreLimits = QUICK) -> Flusher:
    flusher = Flusher(log, shelf, limits)
    flusher.start()
    return flusher


def test_batches_reach_the_store_in_order_and_the_log_forgets_them(log: Log) -> None:
    shelf = Shelf()
    flusher = running(log, shelf)
    for number in range(50):
        append(log, number)
    assert flusher.flush(30)
    assert shelf.rows == list(range(50))
    assert flusher.stop(30)
    assert log.stored == log.last == flusher.state.position
    assert flusher.state.rows == 50


def test_what_was_in_the_log_before_is_sent_first(log: Log) -> None:
    append(log, 1)
    log.mark_stored(append(log, 2))
    append(log, 3)
    shelf = Shelf()
    flusher = running(log, shelf)
    append(log, 4)
    assert flusher.stop(30)
    assert shelf.rows == [3, 4]


def test_a_block_is_no_larger_than_the_batch_that_fills_it_makes_it(log: Log) -> None:
    for start in range(0, 30, 3):
        append(log, start, start + 1, start + 2)
    shelf = Shelf()
    assert running(log, shelf, StoreLimits(block_rows=7, block_ns=1)).stop(30)
    assert [len(block) for block in shelf.blocks] == [9, 9, 9, 3]
    assert shelf.rows == list(range(30))


def test_batches_of_one_schema_go_together_whatever_came_between_them(log: Log) -> None:
    append(log, 1)
    batch = to_batch([step_row(2)])
    log.append(batch.select(batch.schema.names[::-1]))
    append(log, 3)
    shelf = Shelf()
    assert running(log, shelf).stop(30)
    assert shelf.blocks == [[1, 3], [2]]


def test_each_kind_of_batch_goes_into_its_table(log: Log) -> None:
    for number in range(3):
        append(log, number)
        log.append(signal_batch([SignalPoint("db", "i", "s", number, float(number))]))
        log.append(fact_batch([Fact(str(number), number, FactKind.DEPLOY)]))
    shelf = Shelf()
    flusher = running(log, shelf)
    assert flusher.stop(30)
    assert (shelf.blocks, shelf.points, shelf.facts) == ([[0, 1, 2]], [[0.0, 1.0, 2.0]], [["0", "1", "2"]])
    assert flusher.state.rows == 9
    assert log.stored == log.last


def test_what_a_block_has_brought_to_the_store_is_not_sent_again_when_the_rest_fails(log: Log) -> None:
    class FactsFail(Shelf):
        def insert_facts(self, facts: list[Fact]) -> None:
            self.tried.release()
            if self.failing.is_set():
                raise StoreError("no table of facts")
            super().insert_facts(facts)

    shelf = FactsFail()
    append(log, 1)
    log.append(fact_batch([Fact("f", 1, FactKind.DEPLOY)]))
    append(log, 2)
    insert_steps = shelf.insert_steps

    def then_fail(rows: pa.Table) -> None:
        insert_steps(rows)
        shelf.failing.set()

    shelf.insert_steps = then_fail  # type: ignore[method-assign] # the store fails between two tables
    flusher = running(log, shelf)
    for _ in range(3):
        assert shelf.tried.acquire(timeout=30)
    assert log.stored == 0
    shelf.failing.clear()
    assert flusher.flush(30)
    assert flusher.stop(30)
    assert (shelf.blocks, shelf.facts) == ([[1, 2]], [["f"]])


def test_while_the_store_is_away_appends_go_on_and_nothing_is_lost(log: Log) -> None:
    shelf = Shelf(failing=True)
    flusher = running(log, shelf)
    for number in range(10):
        append(log, number)
    for _ in range(3):
        assert shelf.tried.acquire(timeout=30)
    for number in range(10, 20):
        append(log, number)
    assert flusher.state.failing
    assert flusher.state.last_error == "the store is away"
    assert flusher.state.errors >= 2
    assert log.stored == 0
    shelf.failing.clear()
    assert flusher.flush(30)
    assert shelf.rows == list(range(20))
    assert not flusher.state.failing
    assert flusher.state.last_error == "the store is away"
    assert flusher.stop(30)


def test_a_log_that_fills_while_the_store_is_away_refuses_and_takes_again(tmp_path: Path) -> None:
    limits = LogLimits(max_bytes=1 << 16, segment_bytes=1 << 13, batch_bytes=1 << 13, min_free_bytes=0)
    shelf = Shelf(failing=True)
    with Log(tmp_path / "log", limits) as log:
        flusher = running(log, shelf)
        taken = 0
        with pytest.raises(Unavailable, match="the log is full"):  # noqa: PT012 - until it refuses
            while True:
                append(log, taken)
                taken += 1
        shelf.failing.clear()
        assert flusher.flush(30)
        append(log, taken)
        assert flusher.stop(30)
    assert shelf.rows == list(range(taken + 1))


def test_stopping_while_the_store_is_away_gives_up_and_leaves_the_rows_in_the_log(log: Log) -> None:
    shelf = Shelf(failing=True)
    flusher = running(log, shelf)
    append(log, 1)
    assert not flusher.stop(30)
    shelf.failing.clear()
    assert running(log, shelf).stop(30)
    assert shelf.rows == [1]


def test_a_stop_right_after_the_store_is_back_sends_what_came_while_it_was_away(log: Log) -> None:
    shelf = Shelf(failing=True)
    flusher = running(log, shelf)
    append(log, 1)
    for _ in range(4):  # the next try is 0.8 s away
        assert shelf.tried.acquire(timeout=30)
    append(log, 2)
    shelf.failing.clear()
    assert flusher.stop(30)
    assert shelf.blocks == [[1], [2]]
    assert log.stored == log.last


def test_a_mark_that_cannot_be_written_does_not_send_the_rows_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf()
    mark = log.mark_stored

    def refusing(position: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log, "mark_stored", refusing)
    flusher = running(log, shelf)
    append(log, 1)
    assert flusher.flush(30)
    while not flusher.state.errors:
        pass
    monkeypatch.setattr(log, "mark_stored", mark)
    append(log, 2)
    assert flusher.stop(30)
    assert shelf.rows == [1, 2]
    assert "No space left" in flusher.state.last_error
    assert log.stored == log.last


def test_whatever_goes_wrong_the_thread_goes_on(log: Log) -> None:
    class Odd(Shelf):
        def insert_steps(self, rows: pa.Table) -> None:
            if self.tried.acquire(blocking=False):
                super().insert_steps(rows)
                return
            self.tried.release()
            raise KeyError

    shelf = Odd()
    flusher = running(log, shelf)
    append(log, 1)
    assert flusher.flush(30)
    assert flusher.state.last_error == "KeyError()"
    assert flusher.stop(30)


def test_a_flusher_that_was_never_started_can_be_stopped(log: Log) -> None:
    assert Flusher(log, Shelf()).stop(1)
    append(log, 1)
    assert not Flusher(log, Shelf()).stop(1)


def test_the_real_store_has_each_row_once(log: Log, store: Store) -> None:
    for number in (1, 2, 1):
        append(log, number)
    flusher = Flusher(log, store, QUICK)
    flusher.start()
    assert flusher.stop(30)
    assert [row.span_id[-1] for row in rows_of(store.steps("checkout", 0, 2**62, ["production"]))] == [1, 2]
