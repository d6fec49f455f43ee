"""How long the log lasts, what it refuses when it is full, and a real disk that fills and frees."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from otel_cx_collector.errors import Unavailable
from otel_cx_collector.log import Log, LogLimits
from otel_cx_collector.log.pace import WINDOW_S, Pace

MIB = 1 << 20
Batch = Callable[..., pa.RecordBatch]
Ids = Callable[..., list[int]]


def test_the_minutes_are_the_room_over_the_rate_of_the_window() -> None:
    pace = Pace()
    for second in range(61):
        pace.look(1000.0 + second, second * 10)
    assert pace.minutes(6000) == pytest.approx(10)
    assert pace.minutes(-1) == 0


def test_there_is_no_rate_before_there_is_time_and_none_while_nothing_comes() -> None:
    pace = Pace()
    assert pace.minutes(100) is None
    pace.look(0.0, 0)
    pace.look(1.0, 500)
    assert pace.minutes(100) is None
    for second in range(2, 1000):
        pace.look(float(second), 500)
    assert pace.minutes(100) is None


def test_what_was_longer_ago_than_the_window_counts_no_more() -> None:
    pace = Pace()
    pace.look(0.0, 0)
    pace.look(10.0, 1_000_000)
    for second in range(20, 700, 10):
        pace.look(float(second), 1_000_000 + second)
    assert pace.bytes_per_s() == pytest.approx(1)


def test_looking_often_costs_no_memory_and_looking_seldom_still_answers() -> None:
    pace = Pace()
    for tick in range(100_000):
        pace.look(tick / 100, tick)
    assert len(pace.looks) <= WINDOW_S + 3
    assert pace.bytes_per_s() == pytest.approx(100)
    pace.look(10_000.0, 1_000_000)
    assert pace.bytes_per_s() == pytest.approx((1_000_000 - 100_000) / 9000, rel=0.05)


def test_the_log_says_how_many_minutes_it_lasts(directory: Path, batch: Batch, small: LogLimits) -> None:
    with Log(directory, small) as log:
        assert log.minutes_left(100.0) is None
        for number in range(10):
            log.append(batch(number))
        used = log.bytes_used
        written = used - 16
        expected = (small.max_bytes - used) / (written / 60) / 60
        assert log.minutes_left(160.0) == pytest.approx(expected, rel=0.05)
        log.mark_stored(log.last)
        assert log.minutes_left(161.0) == pytest.approx(expected, rel=0.1)


def test_a_full_log_sends_its_callers_away_for_one_to_three_seconds(directory: Path, batch: Batch) -> None:
    limits = LogLimits(max_bytes=16_384, segment_bytes=4096, batch_bytes=4096, min_free_bytes=0)
    waits: set[int] = set()
    with Log(directory, limits) as log:
        while len(waits) < 3:
            try:
                log.append(batch(*range(200)))
            except Unavailable as refused:
                waits.add(refused.retry_after_s)
    assert waits == {1, 2, 3}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a tmpfs takes root; the same is tested on the modelled disk in test_durability.py")
    yield disk
    subprocess.run(["umount", disk], check=True)


LARGE = LogLimits(max_bytes=64 * MIB, segment_bytes=MIB, batch_bytes=MIB, min_free_bytes=0)


@pytest.mark.parametrize("reserve", [0, MIB])
def test_a_disk_that_fills_and_frees_tears_nothing_and_the_log_resumes_alone(
    small_disk: Path, batch: Batch, ids: Ids, reserve: int
) -> None:
    limits = LogLimits(max_bytes=64 * MIB, segment_bytes=MIB, batch_bytes=MIB, min_free_bytes=reserve)
    ballast = small_disk / "ballast"
    acknowledged: list[int] = []
    refused: list[str] = []
    lock = threading.Lock()

    def append(start: int, until: int) -> None:
        for number in range(start, start + until):
            try:
                log.append(batch(*[number] * 5000))
            except Unavailable as error:
                with lock:
                    refused.append(str(error))
            else:
                with lock:
                    acknowledged.append(number)

    def at_once(start: int) -> None:
        threads = [threading.Thread(target=append, args=(start + 1000 * each, 80)) for each in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with Log(small_disk / "log", limits) as log:
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 3 * MIB)
        at_once(0)
        assert refused
        assert acknowledged
        assert all("is full" in it or "No space left" in it for it in refused)
        ballast.unlink()
        before = len(acknowledged)
        append(100_000, 10)
        assert len(acknowledged) == before + 10
        at_once(200_000)  # and again, to the brim
        log.mark_stored(log.last)
        append(300_000, 10)
        assert acknowledged[-10:] == list(range(300_000, 300_010))
        kept = set(ids(log, log.stored))
    with Log(small_disk / "log", limits) as log:
        assert log.damage == ()
        assert set(ids(log, log.stored)) == kept == set(range(300_000, 300_010))


def test_what_was_acknowledged_on_a_disk_that_filled_is_there_after_opening_again(
    small_disk: Path, batch: Batch, ids: Ids
) -> None:
    acknowledged: list[int] = []
    with Log(small_disk / "log", LARGE) as log:
        for number in range(400):
            try:
                log.append(batch(*[number] * 3000))
            except Unavailable:
                continue
            acknowledged.append(number)
    assert 0 < len(acknowledged) < 400
    with Log(small_disk / "log", LARGE) as log:
        assert log.damage == ()
        assert list(dict.fromkeys(ids(log))) == acknowledged
