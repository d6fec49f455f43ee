"""The log's bytes are those of docs/reference/log-format.md: what is written here by that page alone, it reads."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from otel_cx_collector.log import Log

Batch = Callable[..., pa.RecordBatch]
Ids = Callable[..., list[int]]


def crc(data: bytes) -> int:
    return zlib.crc32(data)


def checked(data: bytes) -> bytes:
    return data + struct.pack("<I", crc(data))


def segment_2(*records: bytes) -> bytes:
    return checked(b"OCXLOG" + struct.pack("<HI", 2, 0)) + b"".join(records)


def record_2(kind: int, sequence: int, durable: int, rows: int, schema: int, body: bytes) -> bytes:
    head = struct.pack("<4sIQQIIHHI", b"CXR2", len(body), sequence, durable, rows, schema, kind, 0, crc(body))
    return checked(head) + body


def segment_1(schema: bytes, *records: bytes) -> bytes:
    return b"OCXLOG" + struct.pack("<HII", 1, len(schema), crc(schema)) + schema + b"".join(records)


def record_1(sequence: int, rows: int, body: bytes) -> bytes:
    return checked(struct.pack("<4sIQII", b"CXR1", len(body), sequence, rows, crc(body))) + body


def encoded(batch: pa.RecordBatch) -> tuple[bytes, bytes]:
    return bytes(batch.schema.serialize()), bytes(batch.serialize())


@pytest.fixture
def written(directory: Path, batch: Batch) -> bytes:
    """A segment of two kinds of batches, with a gap, zeros after a body, and a mark."""
    directory.mkdir()
    (schema, first), (_, second) = encoded(batch(1, 2)), encoded(batch(3))
    others, other = encoded(batch(9).rename_columns(["other"]))
    return segment_2(
        record_2(1, 4, 0, 0, crc(schema), schema),
        record_2(0, 4, 0, 2, crc(schema), first),
        record_2(1, 6, 4, 0, crc(others), others),
        record_2(0, 6, 4, 1, crc(others), other),
        record_2(0, 7, 4, 1, crc(schema), second + bytes(24)),
        record_2(2, 7, 7, 0, 0, b""),
    )


def test_a_segment_written_by_the_page_is_read(directory: Path, written: bytes) -> None:
    (directory / "00000000000000000003.seg").write_bytes(written)
    with Log(directory) as log:
        found = [(position, it.to_pydict()) for position, it in log.read(0)]
        assert found == [(4, {"id": [1, 2]}), (6, {"other": [9]}), (7, {"id": [3]})]
        assert log.damage == ()


def test_the_log_writes_what_the_page_says(directory: Path, batch: Batch) -> None:
    with Log(directory) as log:
        log.append(batch(1, 2))
        log.append(batch(3))
        log.mark_stored(1)
    (schema, first), (_, second) = encoded(batch(1, 2)), encoded(batch(3))
    assert (directory / "00000000000000000001.seg").read_bytes() == segment_2(
        record_2(1, 1, 0, 0, crc(schema), schema),
        record_2(0, 1, 0, 2, crc(schema), first),
        record_2(0, 2, 1, 1, crc(schema), second),
        record_2(2, 2, 2, 0, 0, b""),
    )
    assert (directory / "stored").read_bytes() == b"otel-cx-log 1 1 %08x\n" % crc(b"otel-cx-log 1 1")


def test_segments_of_version_1_are_read_beside_new_ones(directory: Path, batch: Batch, ids: Ids) -> None:
    directory.mkdir()
    (schema, first), (_, second) = encoded(batch(1)), encoded(batch(2))
    old = segment_1(schema, record_1(1, 1, first), record_1(2, 1, second))
    (directory / "00000000000000000001.seg").write_bytes(old)
    with Log(directory) as log:
        assert log.append(batch(3)) == 3
        assert ids(log) == [1, 2, 3]
    with Log(directory) as log:
        assert ids(log) == [1, 2, 3]
        log.mark_stored(2)
    assert [path.name for path in directory.glob("*.seg")] == ["00000000000000000003.seg"]


def test_rows_are_erased_from_segments_of_version_1(directory: Path, batch: Batch, ids: Ids) -> None:
    directory.mkdir()
    rows = batch(1, 2, 3).append_column("customer", pa.array(["c-1", "c-2", "c-1"]))
    schema, body = encoded(rows)
    (directory / "00000000000000000001.seg").write_bytes(segment_1(schema, record_1(1, 3, body)))
    for erased in (2, 0):
        with Log(directory) as log:
            assert log.erase("customer", "c-1") == erased
            assert ids(log) == [2]


def test_a_torn_tail_of_version_1_is_cut_off_and_damage_is_told(directory: Path, batch: Batch, ids: Ids) -> None:
    directory.mkdir()
    schema, body = encoded(batch(1))
    path = directory / "00000000000000000001.seg"
    whole, last = segment_1(schema, record_1(1, 1, body)), record_1(2, 1, body)
    path.write_bytes(whole + last[:-1])
    with Log(directory) as log:
        assert (ids(log), log.damage) == ([1], ())
    path.write_bytes(whole + last[:-1] + bytes([last[-1] ^ 1]))
    with Log(directory) as log:
        assert ids(log) == [1]
        assert [it.offset for it in log.damage] == [len(whole)]


def test_only_what_a_later_record_vouches_for_is_called_lost(directory: Path, batch: Batch, ids: Ids) -> None:
    directory.mkdir()
    schema, body = encoded(batch(1))
    start = segment_2(record_2(1, 1, 0, 0, crc(schema), schema), record_2(0, 1, 0, 1, crc(schema), body))
    broken = bytearray(record_2(0, 2, 1, 1, crc(schema), body))
    broken[60] ^= 1
    path = directory / "00000000000000000001.seg"
    for promise, lost in ((1, 0), (2, 1)):
        path.write_bytes(start + broken + record_2(0, 3, promise, 1, crc(schema), body))
        with Log(directory) as log:
            assert len(log.damage) == lost
            assert [position for position, _ in log.read(0)] == [1, 3]
