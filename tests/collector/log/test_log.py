"""What a caller of the log may rely on while the disk is well."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.events import STEP_SCHEMA, to_batch
from otel_cx_collector.log import BatchTooLarge, Log, LogLimits
from otel_cx_collector.log import segment as segments
from otel_cx_collector.log.disk import RealDisk

Batch = Callable[..., pa.RecordBatch]
Ids = Callable[..., list[int]]


def test_batches_are_read_back_in_the_order_of_their_positions(log: Log, batch: Batch) -> None:
    first, second = log.append(batch(1, 2)), log.append(batch(3))
    assert first < second == log.last
    assert [(position, it.to_pydict()) for position, it in log.read(0)] == [
        (first, {"id": [1, 2]}),
        (second, {"id": [3]}),
    ]


def test_reading_begins_after_the_given_position(log: Log, batch: Batch, ids: Ids) -> None:
    positions = [log.append(batch(number)) for number in range(40)]
    for number in (0, 17, 39, 5):
        assert ids(log, positions[number]) == list(range(number + 1, 40))


def test_a_reader_that_goes_on_where_it_stopped_sees_each_batch_once(log: Log, batch: Batch) -> None:
    seen: list[int] = []
    position = 0
    for number in range(60):
        log.append(batch(number))
        if number % 7 == 0:
            for last, it in log.read(position):
                seen += it["id"].to_pylist()
                position = last
    assert seen == list(range(57))


def test_everything_appended_is_there_after_opening_again(log: Log, batch: Batch, directory: Path, ids: Ids) -> None:
    positions = [log.append(batch(number)) for number in range(50)]
    log.close()
    with Log(directory) as again:
        assert ids(again) == list(range(50))
        assert again.last == positions[-1]
        assert again.damage == ()
        assert again.append(batch(50)) > positions[-1]


def test_step_rows_come_back_as_they_were(directory: Path) -> None:
    rows = pa.RecordBatch.from_pylist([], schema=STEP_SCHEMA)
    with Log(directory) as log:
        log.append(rows)
        log.append(to_batch([]))
        assert [it for _, it in log.read(0)] == [rows, rows]


def test_a_segment_is_closed_when_it_is_full(log: Log, batch: Batch, directory: Path, small: LogLimits) -> None:
    for number in range(100):
        log.append(batch(number))
    sizes = [path.stat().st_size for path in directory.glob("*.seg")]
    assert len(sizes) > 3
    assert max(sizes) <= small.segment_bytes
    assert log.bytes_used == sum(sizes)


def test_a_batch_may_have_other_columns_than_those_before_it(log: Log, batch: Batch) -> None:
    other = pa.RecordBatch.from_pydict({"name": ["x"]})
    for it in (batch(1), other, batch(2)):
        log.append(it)
    assert [it.to_pydict() for _, it in log.read(0)] == [{"id": [1]}, {"name": ["x"]}, {"id": [2]}]


def test_what_is_stored_is_deleted_by_whole_segments_and_remembered(
    log: Log, batch: Batch, directory: Path, ids: Ids
) -> None:
    positions = [log.append(batch(number)) for number in range(100)]
    before = log.bytes_used
    log.mark_stored(positions[89])
    assert log.stored == positions[89]
    assert log.bytes_used < before / 2
    assert ids(log, log.stored) == list(range(90, 100))
    log.close()
    with Log(directory) as again:
        assert again.stored == positions[89]
        assert ids(again, again.stored) == list(range(90, 100))


def test_a_log_whose_batches_are_all_stored_is_empty_after_opening_again(
    log: Log, batch: Batch, directory: Path
) -> None:
    for number in range(30):
        log.append(batch(number))
    last = log.last
    log.mark_stored(last)
    log.close()
    with Log(directory) as again:
        assert not list(directory.glob("*.seg"))
        assert again.bytes_used == 0
        assert again.append(batch(1)) > last


def test_a_segment_that_was_made_when_the_process_died_costs_nothing_that_is_appended_later(
    directory: Path, batch: Batch, ids: Ids
) -> None:
    with Log(directory) as log:
        log.append(batch(1))
    segments.create(RealDisk(), directory, 2)
    with Log(directory) as log:
        log.append(batch(2))
        log.mark_stored(1)
        assert ids(log, 1) == [2]
    with Log(directory) as log:
        assert ids(log) == [2]


def test_nothing_is_waited_for_in_a_segment_that_was_made_when_the_process_died(directory: Path, batch: Batch) -> None:
    with Log(directory) as log:
        log.mark_stored(log.append(batch(1)))
    segments.create(RealDisk(), directory, 5)
    with Log(directory) as log:
        assert log.last == log.stored == 1
        assert not log.wait(1, 0)


def test_the_mark_never_goes_back(log: Log, batch: Batch) -> None:
    first, second = log.append(batch(1)), log.append(batch(2))
    log.mark_stored(second)
    log.mark_stored(first)
    assert log.stored == second


def test_a_position_that_was_never_given_cannot_be_marked(log: Log, batch: Batch) -> None:
    last = log.append(batch(1))
    with pytest.raises(ValueError, match=f"position {last + 1} was never appended; the last one is {last}"):
        log.mark_stored(last + 1)


def test_a_full_log_refuses_until_the_store_has_taken_some(directory: Path, batch: Batch) -> None:
    limits = LogLimits(max_bytes=16_384, segment_bytes=4096, batch_bytes=4096, min_free_bytes=0)
    with Log(directory, limits) as log:
        while log.bytes_used + 400 < limits.max_bytes:
            log.append(batch(0))
        with pytest.raises(Unavailable, match=r"the log is full: \d+ of 16384 bytes.*raise log.max_bytes"):
            log.append(batch(*range(50)))
        assert log.bytes_used <= 16_384
        log.mark_stored(log.last)
        log.append(batch(1))


def test_a_batch_larger_than_the_limit_is_refused_for_good(directory: Path, batch: Batch) -> None:
    limits = LogLimits(max_bytes=16_384, segment_bytes=4096, batch_bytes=4096, min_free_bytes=0)
    with Log(directory, limits) as log:
        with pytest.raises(BatchTooLarge, match=r"batch of 1000 rows takes 8.* append it in smaller parts"):
            log.append(batch(*range(1000)))
        log.append(batch(1))


def test_a_batch_larger_than_a_segment_gets_one_of_its_own(log: Log, batch: Batch, ids: Ids) -> None:
    for numbers in ([1], range(1000), [2]):
        log.append(batch(*numbers))
    assert ids(log) == [1, *range(1000), 2]


def test_dictionary_encoded_columns_are_refused(log: Log) -> None:
    encoded = pa.RecordBatch.from_pydict({"id": pa.array(["x"]).dictionary_encode()})
    with pytest.raises(ValueError, match="column id is dictionary-encoded"):
        log.append(encoded)


def test_waiting_ends_when_a_batch_comes(log: Log, batch: Batch) -> None:
    appending = threading.Timer(0.05, lambda: log.append(batch(1)))
    appending.start()
    assert log.wait(0, timeout_s=30)
    appending.join()
    assert not log.wait(log.last, timeout_s=0.01)


def test_waiting_ends_when_the_log_is_closed(log: Log) -> None:
    closing = threading.Timer(0.05, log.close)
    closing.start()
    assert not log.wait(0, timeout_s=30)
    closing.join()


def test_a_closed_log_refuses(log: Log, batch: Batch) -> None:
    log.close()
    log.close()
    with pytest.raises(Unavailable, match="the log is closed"):
        log.append(batch(1))
    with pytest.raises(Unavailable, match="the log is closed"):
        log.mark_stored(1)


def test_many_threads_append_and_each_batch_has_a_position_of_its_own(log: Log, batch: Batch, ids: Ids) -> None:
    given: dict[int, int] = {}

    def append(start: int) -> None:
        for number in range(start, start + 25):
            given[log.append(batch(number))] = number

    threads = [threading.Thread(target=append, args=(start,)) for start in range(0, 400, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given.values()) == list(range(400))
    assert [(position, it["id"][0].as_py()) for position, it in log.read(0)] == sorted(given.items())


def test_those_who_wait_together_share_one_sync(log: Log, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append(batch(0))
    syncs: list[int] = []
    entered, go_on = threading.Event(), threading.Event()
    sync = os.fdatasync

    def slow_sync(fd: int) -> None:
        syncs.append(fd)
        entered.set()
        assert go_on.wait(30)
        sync(fd)

    monkeypatch.setattr(os, "fdatasync", slow_sync)
    threads = [threading.Thread(target=log.append, args=(batch(number),)) for number in range(1, 9)]
    threads[0].start()
    assert entered.wait(30)
    for thread in threads[1:]:
        thread.start()
    while len(log._queue) < 7:
        pass
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(syncs) == 2


def test_batches_of_many_kinds_share_one_segment_in_the_order_they_came(
    log: Log, batch: Batch, directory: Path
) -> None:
    for number in range(12):
        log.append(batch(number).rename_columns([("id", "other", "third")[number % 3]]))
    found = [(it.schema.names[0], it[0][0].as_py()) for _, it in log.read(0)]
    assert found == [(("id", "other", "third")[number % 3], number) for number in range(12)]
    assert len(list(directory.glob("*.seg"))) == 1
    log.close()
    with Log(directory) as again:
        assert [(it.schema.names[0], it[0][0].as_py()) for _, it in again.read(0)] == found


def test_schemas_that_differ_in_what_is_said_about_them_stay_apart(log: Log, batch: Batch) -> None:
    tables = [batch(1).replace_schema_metadata({"table": name}) for name in ("signals", "facts", "signals")]
    for it in tables:
        log.append(it)
    assert [it.schema.metadata for _, it in log.read(0)] == [it.schema.metadata for it in tables]


def test_no_batch_is_acknowledged_before_its_sync_has_returned(
    log: Log, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(batch(1))
    seen: list[int] = []
    sync = os.fdatasync

    def looking_sync(fd: int) -> None:
        seen.append(log.last)
        sync(fd)

    monkeypatch.setattr(os, "fdatasync", looking_sync)
    position = log.append(batch(2))
    assert seen == [position - 1]


def test_appending_reading_and_forgetting_go_on_beside_each_other(log: Log, batch: Batch) -> None:
    def append() -> None:
        for number in range(300):
            log.append(batch(number))

    writer = threading.Thread(target=append)
    writer.start()
    seen: list[int] = []
    position = 0
    while len(seen) < 300:
        assert log.wait(position, timeout_s=30)
        for last, it in log.read(position):
            seen += it["id"].to_pylist()
            position = last
        log.mark_stored(position)
    writer.join()
    assert seen == list(range(300))


def test_a_directory_in_use_is_refused_with_the_process_that_holds_it(log: Log, directory: Path) -> None:
    command = f"from pathlib import Path\nfrom otel_cx_collector.log import Log\nLog(Path({str(directory)!r}))"
    other = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert f"is in use by process {os.getpid()}; stop it" in other.stderr
    with pytest.raises(UserError, match="is in use by process"):
        Log(directory)
    assert log.last == 0


def test_a_directory_that_cannot_be_made_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/log cannot hold the log: Not a directory; make it .* set data:"):
        Log(tmp_path / "file" / "log")


def test_nobody_else_can_read_what_is_logged(log: Log, batch: Batch, directory: Path) -> None:
    directory.chmod(0o755)
    log.append(batch(1))
    log.mark_stored(log.last)
    log.close()
    with Log(directory) as again:
        again.append(batch(1))
        assert directory.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
