"""A store that is slow, may not write, or has too little memory: it says so, is tried again, and nothing is lost."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from step_rows import T0, rows_of, step_row, table

from otel_cx_collector.events import NS, Fact, to_batch
from otel_cx_collector.inventory import parse
from otel_cx_collector.log import Log, LogLimits
from otel_cx_collector.rollup import Rollups
from otel_cx_collector.store import Flusher, Store, StoreError, StoreLimits

SMALL = LogLimits(max_bytes=1 << 24, segment_bytes=1 << 20, batch_bytes=1 << 23, min_free_bytes=0)
QUICK = StoreLimits(keep_ns=None, block_ns=1_000_000)
NOBODY = 65_534


def numbers(store: Store) -> list[int]:
    rows = rows_of(store.steps("checkout", 0, 2**62, ["production"]))
    return sorted(int.from_bytes(row.span_id) for row in rows)


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Files and directories that this process may read and not write."""
    kept = {path: path.stat().st_mode for path in (directory, *directory.rglob("*"))}
    for path, mode in kept.items():
        path.chmod(mode & 0o555 | 0o055)
    for path in (directory, *directory.parents):
        if path.stat().st_mode & 0o005 != 0o005:
            kept[path] = path.stat().st_mode
            path.chmod(kept[path] | 0o005)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path, mode in kept.items():
            if path.exists():
                path.chmod(mode)


def test_a_store_whose_directory_may_not_be_written_fails_and_takes_the_rows_once_it_may(tmp_path: Path) -> None:
    with Log(tmp_path / "log", SMALL) as log, Store(tmp_path / "store", QUICK) as store:
        store.insert_steps(table(step_row(1)))
        log.append(to_batch([step_row(2)]))
        flusher = Flusher(log, store, QUICK)
        with read_only(tmp_path / "store"):
            with pytest.raises(StoreError, match="ermission denied"):
                store.insert_steps(table(step_row(3)))
            flusher.start()
            while flusher.state.errors < 2:
                pass
            assert flusher.state.failing
            assert "ermission denied" in flusher.state.last_error
            assert log.stored == 0
        assert flusher.flush(60)
        assert flusher.stop(60)
        assert numbers(store) == [1, 2]


def test_an_insert_that_needs_more_memory_than_it_may_take_says_so_and_is_sent_by_a_store_that_has_it(
    tmp_path: Path,
) -> None:
    rows = [step_row(number, attempt=f"{number}") for number in range(20_000)]
    tight = StoreLimits(keep_ns=None, query_memory_bytes=1 << 20, block_ns=1_000_000)
    with Log(tmp_path / "log", SMALL) as log:
        log.append(to_batch(rows))
        with Store(tmp_path / "store", tight) as store:
            flusher = Flusher(log, store, tight)
            flusher.start()
            while flusher.state.errors < 2:
                pass
            assert "memory limit exceeded" in flusher.state.last_error.lower()
            assert not flusher.stop(60)
            assert log.stored == 0
        with Store(tmp_path / "store", QUICK) as store:
            flusher = Flusher(log, store, QUICK)
            flusher.start()
            assert flusher.stop(60)
            assert numbers(store) == list(range(20_000))
            assert log.stored == log.last


def test_a_question_that_needs_more_memory_or_time_than_it_may_take_is_refused_aloud(tmp_path: Path) -> None:
    with Store(tmp_path / "store", StoreLimits(keep_ns=None, query_memory_bytes=1 << 24, query_s=1)) as store:
        with pytest.raises(StoreError, match="memory limit exceeded"):
            store._engine.query("SELECT groupArray(number) FROM numbers(100000000)")
        with pytest.raises(StoreError, match="Timeout exceeded"):
            store._engine.query("SELECT sum(sleepEachRow(0.5)) FROM numbers(20) SETTINGS max_block_size = 1")
        store.insert_steps(table(step_row(1)))
        assert numbers(store) == [1]


def test_a_closing_that_fails_is_done_by_the_next_round(tmp_path: Path) -> None:
    file = parse(
        "version: 1\njourneys:\n  checkout:\n    title: Checkout\n    owner: shop\n    criticality: 1\n"
        "    steps: [payment]\n    objectives: [{sli: availability, target: 99%}]\n"
    )
    with Store(tmp_path / "store", QUICK) as store:
        store.insert_steps(table(step_row(1, end=T0 * NS)))
        rollups = Rollups(store, file)
        with read_only(tmp_path / "store"), pytest.raises(StoreError, match="ermission denied"):
            rollups.close(T0 + 86_400)
        assert rollups.close(T0 + 86_400) == 1
        assert store.rollups("checkout", T0, T0 + 60, 60)["ok_rows"].to_pylist() == [1, 1]


def test_a_question_that_failed_in_the_middle_leaves_nothing_in_the_next_answer(store: Store) -> None:
    store.insert_steps(table(step_row(1)))
    for _ in range(3):
        with pytest.raises(StoreError, match="now"):
            store._engine.query("SELECT number, throwIf(number = 5, 'now') FROM numbers(9) SETTINGS max_block_size = 1")
        assert numbers(store) == [1]


class Slow:
    """A store that takes what it is given when it is told to."""

    def __init__(self) -> None:
        self.may = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)
        self.rows: list[int] = []

    def insert_steps(self, rows: pa.Table) -> None:
        self.asked.release()
        self.may.acquire()
        self.rows += [row.span_id[-1] for row in rows_of(rows)]

    def insert_signals(self, points: pa.Table) -> None:
        raise AssertionError(points)

    def insert_facts(self, facts: list[Fact]) -> None:
        raise AssertionError(facts)


def test_while_the_store_is_slow_appends_go_on_and_all_reaches_it_in_order(tmp_path: Path) -> None:
    slow = Slow()
    with Log(tmp_path / "log", SMALL) as log:
        flusher = Flusher(log, slow, QUICK)
        flusher.start()
        log.append(to_batch([step_row(0)]))
        assert slow.asked.acquire(timeout=60)
        for number in range(1, 50):
            log.append(to_batch([step_row(number)]))
        assert not flusher.flush(0.01)
        assert not flusher.state.failing
        assert log.stored == 0
        slow.may.release(100)
        assert flusher.flush(60)
        assert flusher.stop(60)
    assert slow.rows == list(range(50))
