"""Somebody's rows are taken out of the log, and nobody else's."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelled_disk import Crash, ModelledDisk
from step_rows import step_row

from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.events import to_batch
from otel_cx_collector.log import Log, LogLimits, erase

LIMITS = LogLimits(max_bytes=1 << 20, segment_bytes=2048, batch_bytes=4096, min_free_bytes=0)
WHO = "c-3f9a"


def rows(*customers: str | None) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"customer": pa.array(customers, pa.string()), "n": pa.array(range(len(customers)), pa.int64())}
    )


def customers(log: Log, after: int = 0) -> list[str | None]:
    return [
        it for _, batch in log.read(after) if "customer" in batch.schema.names for it in batch["customer"].to_pylist()
    ]


def test_the_rows_of_one_customer_are_gone_from_every_file_and_the_others_stay(
    directory: Path, small: LogLimits, batch: Callable[..., pa.RecordBatch], ids: Callable[..., list[int]]
) -> None:
    with Log(directory, small) as log:
        for number in range(40):
            log.append(rows(f"c-{number}", WHO, None))
        position = log.append(rows(WHO))
        log.append(batch(7))
        used = log.bytes_used
        assert log.erase("customer", WHO) == 41
        assert customers(log) == [it for number in range(40) for it in (f"c-{number}", None)]
        assert (log.bytes_used, log.last) == (used, position + 1)
        log.append(rows("c-new"))
        assert customers(log, position) == ["c-new"]
    assert not [path.name for path in directory.iterdir() if WHO.encode() in path.read_bytes()]
    with Log(directory, small) as again:
        assert customers(again)[-1] == "c-new"
        assert again.damage == ()


def test_a_reader_goes_on_where_it_stood(directory: Path) -> None:
    with Log(directory) as log:
        for number in range(10):
            log.append(rows(f"c-{number}", WHO))
        reading = log.read(0)
        position, _ = next(reading)
        assert log.erase("customer", WHO) == 10
        assert customers(log, position) == [f"c-{number}" for number in range(1, 10)]


def test_step_rows_lose_a_customer_and_keep_their_columns(directory: Path) -> None:
    mine, other = (step_row(number, customer=name) for number, name in enumerate((WHO, "c-2")))
    with Log(directory) as log:
        log.append(to_batch([mine, other]))
    assert erase(directory, "customer", WHO) == 1
    assert erase(directory, "customer", WHO) == 0
    with Log(directory) as log:
        assert [it for _, it in log.read(0)] == [to_batch([other])]


def test_copies_of_damaged_segments_are_deleted(directory: Path) -> None:
    with Log(directory) as log:
        log.append(rows(WHO))
        log.append(rows("c-2"))
    (segment,) = directory.glob("*.seg")
    segment.write_bytes(segment.read_bytes().replace(WHO.encode(), WHO.encode()[::-1]))
    assert erase(directory, "customer", WHO) == 0
    assert not list(directory.glob("*.damaged"))


def test_a_log_in_use_or_closed_is_not_erased(directory: Path) -> None:
    with Log(directory) as log, pytest.raises(UserError, match="is in use by process"):
        erase(directory, "customer", WHO)
    with pytest.raises(Unavailable, match="the log is closed"):
        erase(log, "customer", WHO)


def test_a_value_that_no_row_can_have_is_refused(directory: Path, batch: Callable[..., pa.RecordBatch]) -> None:
    with Log(directory) as log:
        log.append(batch(1))
        with pytest.raises(UserError, match="'c-3f9a' is no int64; give a value as the rows have it"):
            log.erase("id", WHO)


def test_without_room_for_a_second_segment_nothing_changes_and_the_cure_is_said() -> None:
    disk = ModelledDisk()
    with Log(Path("log"), LIMITS, disk=disk) as log:
        log.append(rows(WHO, "c-2"))
        disk.capacity = sum(map(len, disk.files().values())) + 100
        with pytest.raises(UserError, match=r"No space left on device; free \d+ bytes and erase again"):
            log.erase("customer", WHO)
        assert customers(log) == [WHO, "c-2"]


@settings(max_examples=15, deadline=None)
@given(
    groups=st.lists(st.lists(st.sampled_from([WHO, "c-1", "c-2"]), max_size=12), min_size=1, max_size=12),
    seed=st.integers(0, 1 << 30),
)
def test_a_crash_while_erasing_loses_nobody_elses_rows_and_erasing_again_ends_it(
    groups: list[list[str]], seed: int
) -> None:
    chance = random.Random(seed)
    crash_at, crashed = 0, True
    while crashed:
        disk = ModelledDisk()
        with Log(Path("log"), LIMITS, disk=disk) as log:
            for group in groups:
                log.append(rows(*group))
        crash_at += 1
        disk.calls, disk.crash_at = 0, crash_at
        try:
            with Log(Path("log"), LIMITS, disk=disk) as log:
                log.erase("customer", WHO)
            crashed = False
        except Crash:
            crashed = True
        disk = disk.restart(power_cut=chance.random() < 0.5, chance=chance)
        with Log(Path("log"), LIMITS, disk=disk) as log:
            assert log.damage == ()
            assert [it for it in customers(log) if it != WHO] == [it for group in groups for it in group if it != WHO]
            log.erase("customer", WHO)
            assert WHO not in customers(log)
        assert not [name for name, data in disk.files().items() if WHO.encode() in data]
