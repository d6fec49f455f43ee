"""What the log makes of bytes that are not what it wrote: torn tails, flipped bits, writes and syncs that fail."""

import errno
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.log import Log, LogDamaged, LogLimits
from otel_cx_collector.log.segment import BATCH, FORMAT, HEAD_BYTES

Batch = Callable[..., pa.RecordBatch]
Ids = Callable[..., list[int]]


@pytest.fixture
def written(directory: Path, batch: Batch) -> Path:
    """A closed log of the batches (1), (2), (3)."""
    with Log(directory) as log:
        for number in (1, 2, 3):
            log.append(batch(number))
    return directory


def only_segment(directory: Path) -> Path:
    (segment,) = directory.glob("*.seg")
    return segment


def records(segment: Path) -> list[int]:
    """Offsets of the batches, and the end of the last one."""
    offsets, end, data = [], 0, segment.read_bytes()
    for at in range(len(data)):
        record = FORMAT.record(data[at : at + FORMAT.head_bytes], at)
        if record is not None and record.kind == BATCH:
            offsets.append(at)
            end = record.end
    return [*offsets, end]


def copy_of(directory: Path, to: Path) -> Path:
    if to.exists():
        shutil.rmtree(to)
    return Path(shutil.copytree(directory, to))


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def test_a_record_cut_off_at_any_byte_is_healed_and_the_others_stay(
    written: Path, tmp_path: Path, batch: Batch, ids: Ids
) -> None:
    _, _, last, end = records(only_segment(written))
    for cut in range(last, end):
        torn = copy_of(written, tmp_path / "torn")
        os.truncate(only_segment(torn), cut)
        with Log(torn) as log:
            assert ids(log) == [1, 2]
            assert log.damage == ()
            log.append(batch(4))
            assert ids(log) == [1, 2, 4]
        with Log(torn) as log:
            assert ids(log) == [1, 2, 4]


def test_zeros_that_a_power_cut_left_at_the_end_are_cut_off(written: Path, ids: Ids) -> None:
    with only_segment(written).open("ab") as file:
        file.write(bytes(5000))
    with Log(written) as log:
        assert ids(log) == [1, 2, 3]
        assert log.damage == ()


def test_a_flipped_bit_in_a_record_loses_that_record_alone_and_says_so(written: Path, tmp_path: Path, ids: Ids) -> None:
    first, second, third, end = records(only_segment(written))
    heads = [start + at for start in (first, second, third) for at in range(HEAD_BYTES)]
    bodies = range(first, end, 9)
    for at in sorted({*heads, *bodies, end - 1}):
        broken = copy_of(written, tmp_path / "broken")
        segment = only_segment(broken)
        flip(segment, at, at % 8)
        damaged = segment.read_bytes()
        lost = 1 if at < second else 2 if at < third else 3
        with Log(broken) as log:
            assert ids(log) == [number for number in (1, 2, 3) if number != lost]
            (damage,) = log.damage
            assert damage.offset == (first, second, third)[lost - 1]
            assert damage.kept.read_bytes() == damaged
            assert "check the disk" in str(damage)
        with Log(broken) as log:
            assert len(ids(log)) == 2
            assert log.damage == ()


def test_a_segment_whose_head_is_damaged_loses_no_record(written: Path, tmp_path: Path, ids: Ids) -> None:
    for at in [0, 5, *range(8, 16)]:
        broken = copy_of(written, tmp_path / "broken")
        segment = only_segment(broken)
        flip(segment, at)
        damaged = segment.read_bytes()
        with Log(broken) as log:
            assert ids(log) == [1, 2, 3]
            assert [(it.offset, it.kept.read_bytes()) for it in log.damage] == [(0, damaged)]
        with Log(broken) as log:
            assert ids(log) == [1, 2, 3]
            assert log.damage == ()


def test_batches_whose_schema_is_damaged_are_lost_and_said_so(written: Path, tmp_path: Path, ids: Ids) -> None:
    for at in range(16, records(only_segment(written))[0], 3):
        broken = copy_of(written, tmp_path / "broken")
        segment = only_segment(broken)
        flip(segment, at)
        damaged = segment.read_bytes()
        with Log(broken) as log:
            assert ids(log) == []
            assert [it.kept.read_bytes() for it in log.damage] == [damaged]


def test_a_damaged_schema_is_taken_from_another_segment(
    directory: Path, batch: Batch, small: LogLimits, ids: Ids
) -> None:
    with Log(directory, small) as log:
        for number in range(60):
            log.append(batch(number))
    for segment in sorted(directory.glob("*.seg"))[1:]:
        flip(segment, 70)
    for lost in (True, False):
        with Log(directory, small) as log:
            assert bool(log.damage) is lost
            assert ids(log) == list(range(60))


def test_a_file_that_holds_no_record_is_set_aside_whole(written: Path, ids: Ids) -> None:
    only_segment(written).write_bytes(b"nothing of ours")
    with Log(written) as log:
        assert ids(log) == []
        (damage,) = log.damage
        assert damage.kept.read_bytes() == b"nothing of ours"


def test_an_empty_segment_file_is_set_aside(written: Path, ids: Ids) -> None:
    os.truncate(only_segment(written), 0)
    with Log(written) as log:
        assert ids(log) == []
        assert len(log.damage) == 1


def test_damage_in_one_segment_leaves_the_others_alone(
    directory: Path, batch: Batch, small: LogLimits, ids: Ids
) -> None:
    with Log(directory, small) as log:
        for number in range(60):
            log.append(batch(number))
    first = min(directory.glob("*.seg"))
    os.truncate(first, records(first)[-1] - 1)  # not the newest: this is no torn tail
    lost = len(records(first)) - 2
    with Log(directory, small) as log:
        assert ids(log) == [number for number in range(60) if number != lost]
        assert [it.kept.name for it in log.damage] == [f"{first.name}.{records(first)[-1]}.damaged"]


def test_a_record_that_changes_while_the_log_is_open_is_not_handed_out(log: Log, batch: Batch, directory: Path) -> None:
    for number in (1, 2, 3):
        log.append(batch(number))
    flip(only_segment(directory), records(only_segment(directory))[1] + 40)
    seen: list[int] = []

    def read() -> None:
        for _, it in log.read(0):
            seen.extend(it["id"].to_pylist())

    with pytest.raises(LogDamaged, match=r"has changed since it was written. Restart the collector"):
        read()
    assert seen == [1]


def test_a_mark_that_cannot_be_read_sends_everything_again(written: Path, ids: Ids) -> None:
    with Log(written) as log:
        log.mark_stored(2)
        assert ids(log, log.stored) == [3]
    flip(written / "stored", 15)
    with Log(written) as log:
        assert log.stored == 0
        assert ids(log, log.stored) == [1, 2, 3]


def test_a_log_of_a_later_format_is_refused_with_the_cure(written: Path) -> None:
    segment = only_segment(written)
    data = bytearray(segment.read_bytes())
    data[6] = 3
    segment.write_bytes(data)
    with pytest.raises(UserError, match=r"this log is of format 3, .* knows up to 2; run the version that wrote it"):
        Log(written)


def test_files_that_were_being_made_are_cleared_away(written: Path, ids: Ids) -> None:
    (written / "00000000000000000009.seg.new").write_bytes(b"half")
    (written / "stored.new").write_bytes(b"half")
    with Log(written) as log:
        assert ids(log) == [1, 2, 3]
    assert not list(written.glob("*.new"))


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel writes up to this size and then refuses: a disk that fills in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_stops_half_way_is_taken_back_and_the_log_goes_on(
    log: Log, batch: Batch, directory: Path, ids: Ids
) -> None:
    rooms = (0, 1, 27, 28, 29, 150)
    for room in rooms:
        log.append(batch(room))
        size = max(directory.glob("*.seg")).stat().st_size
        with files_no_larger_than(size + room), pytest.raises(Unavailable, match=r"refuses writes: .*; see to it"):
            log.append(batch(-1))
        assert log.bytes_used == sum(path.stat().st_size for path in directory.glob("*.seg"))
    assert ids(log) == list(rooms)
    log.close()
    with Log(directory) as again:
        assert ids(again) == list(rooms)
        assert again.damage == ()


@pytest.mark.parametrize("reason", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_batch_whose_sync_fails_is_refused_and_not_kept(
    log: Log, batch: Batch, directory: Path, ids: Ids, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    first = log.append(batch(1))

    def failing_sync(fd: int) -> None:
        raise OSError(reason, os.strerror(reason))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing_sync)
        for _ in range(3):
            with pytest.raises(Unavailable, match=os.strerror(reason)):
                log.append(batch(2))
    assert log.last == first
    assert log.append(batch(3)) > first
    assert ids(log) == [1, 3]
    assert len(list(directory.glob("*.seg"))) == 2
    log.close()
    with Log(directory) as again:
        assert ids(again) == [1, 3]


def test_a_disk_below_its_reserve_refuses_before_anything_is_written_and_resumes_by_itself(
    log: Log, batch: Batch, directory: Path, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(batch(1))
    before = only_segment(directory).read_bytes()
    really = os.statvfs(directory)
    full = os.statvfs_result((*really[:4], 0, *really[5:]))  # f_bavail
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda _: full)
        with pytest.raises(Unavailable, match=r"is full: 0 bytes are free and log.min_free_bytes is 0; free some"):
            log.append(batch(2))
    assert only_segment(directory).read_bytes() == before
    log.append(batch(3))
    assert ids(log) == [1, 3]


def test_no_thread_is_told_that_its_batch_is_durable_when_the_writer_of_another_failed(
    log: Log, batch: Batch, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(batch(0))
    failing, go_on = threading.Event(), threading.Event()
    told: list[str] = []

    def late_failure(_: object) -> os.statvfs_result:
        failing.set()
        assert go_on.wait(30)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def append(number: int) -> None:
        with pytest.raises(Unavailable) as caught:
            log.append(batch(number))
        told.append(str(caught.value))

    threads = [threading.Thread(target=append, args=(number,)) for number in range(1, 6)]
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", late_failure)
        for thread in threads:
            thread.start()
        assert failing.wait(30)
        go_on.set()
        for thread in threads:
            thread.join()
    assert len(told) == 5
    assert all("refuses writes: Input/output error" in it for it in told)
    assert ids(log) == [0]


def test_segments_are_deleted_even_when_the_mark_cannot_be_written(
    log: Log, batch: Batch, directory: Path, ids: Ids
) -> None:
    for number in range(60):
        log.append(batch(number))
    before = len(list(directory.glob("*.seg")))
    with files_no_larger_than(0), pytest.raises(OSError, match="File too large"):
        log.mark_stored(log.last)
    assert log.stored == 0
    assert len(list(directory.glob("*.seg"))) == 1 < before
    assert not list(directory.glob("*.new"))
    log.mark_stored(log.last)
    assert log.stored == log.last
    assert ids(log, log.stored) == []


def test_an_interrupt_in_the_middle_of_a_write_leaves_no_one_waiting(
    log: Log, batch: Batch, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(batch(1))

    def interrupted_sync(fd: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", interrupted_sync)
        with pytest.raises(KeyboardInterrupt):
            log.append(batch(2))
    log.append(batch(3))
    assert ids(log) == [1, 3]
