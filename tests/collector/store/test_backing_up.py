"""A copy made while rows come in, restored elsewhere, gives the same figures and takes up where the other stood."""

import threading
from pathlib import Path

import pytest
from step_rows import rows_of, step_row, table

from otel_cx_collector.backup import back_up, restore
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import Fact, FactKind, StepRow, to_batch
from otel_cx_collector.log import Log, LogLimits
from otel_cx_collector.state import FILE, State
from otel_cx_collector.store import Flusher, Store, StoreLimits

LIMITS = StoreLimits(keep_ns=None, block_ns=1_000_000)
SMALL = LogLimits(max_bytes=1 << 22, segment_bytes=1 << 14, batch_bytes=1 << 16, min_free_bytes=0)


def stored(data: Path) -> list[StepRow]:
    """Rows once what the log holds has reached the store."""
    with Log(data / "log", SMALL) as log, Store(data / "store", LIMITS) as store:
        flusher = Flusher(log, store, LIMITS)
        flusher.start()
        assert flusher.stop(60)
        return rows_of(store.steps("checkout", 0, 2**62, ["production"]))


def test_a_copy_made_under_traffic_holds_all_that_was_acknowledged_before_it(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    taken: list[int] = []
    enough, stop = threading.Event(), threading.Event()
    with (
        Log(data / "log", SMALL) as log,
        Store(data / "store", LIMITS) as store,
        State.open(data / FILE) as state,
    ):
        (data / "node").write_text("node-1\n")
        state.keep("hours/checkout", "{}")
        flusher = Flusher(log, store, LIMITS)
        flusher.start()

        def send() -> None:
            number = 0
            while not stop.is_set():
                log.append(to_batch([step_row(number)]))
                taken.append(number)
                number += 1
                if number == 200:
                    enough.set()

        sender = threading.Thread(target=send)
        sender.start()
        assert enough.wait(60)
        before = len(taken)
        back_up(data, state, store, copy)
        stop.set()
        sender.join()
        assert flusher.stop(60)
    restored = tmp_path / "restored"
    restore(copy, restored)
    rows = stored(restored)
    numbers = [int.from_bytes(row.span_id) for row in rows]
    assert len(numbers) == len(set(numbers))
    assert set(range(before)) <= set(numbers) <= set(taken)
    assert (restored / "node").read_text() == "node-1\n"
    with State.open(restored / FILE) as state:
        assert state.kept("hours/checkout") == "{}"
    assert {path.stat().st_mode & 0o077 for path in (copy, restored, restored / "log", restored / "store")} == {0}


def test_a_store_comes_back_with_all_its_tables_and_goes_on(tmp_path: Path) -> None:
    fact = Fact("1", 1, FactKind.DEPLOY)
    with Store(tmp_path / "a", LIMITS) as store:
        store.insert_steps(table(step_row(1)))
        store.insert_facts([fact])
        store.back_up(tmp_path / "copy")
        store.insert_steps(table(step_row(2)))
    Store.restore(tmp_path / "b", tmp_path / "copy")
    with Store(tmp_path / "b", LIMITS) as store:
        assert [row.span_id[-1] for row in rows_of(store.steps("checkout", 0, 2**62, ["production"]))] == [1]
        assert store.facts(0, 2) == [fact]
        store.insert_steps(table(step_row(3)))
        assert store.steps("checkout", 0, 2**62, ["production"]).num_rows == 2


def test_a_copy_goes_into_a_directory_of_its_own(tmp_path: Path, store: Store) -> None:
    (tmp_path / "copy").mkdir()
    with State.memory() as state, pytest.raises(UserError, match="does not exist yet"):
        back_up(tmp_path / "data", state, store, tmp_path / "copy")


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "store", LIMITS) as store, State.open(tmp_path / FILE) as state:
        state.close()
        with pytest.raises(Exception, match="is closed"):
            back_up(tmp_path, state, store, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_nothing_is_restored_over_what_is_there_or_from_what_is_no_copy(tmp_path: Path) -> None:
    (tmp_path / "copy" / "store").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "node").touch()
    with pytest.raises(UserError, match="is not empty"):
        restore(tmp_path / "copy", tmp_path / "data")
    with pytest.raises(UserError, match="is not empty"):
        Store.restore(tmp_path / "data", tmp_path / "copy" / "store")
    with pytest.raises(UserError, match="holds no back-up"):
        restore(tmp_path / "data", tmp_path / "new")
