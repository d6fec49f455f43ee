"""One segment file of the log: its bytes, how one is made and read. Not when to write, nor what is made of damage."""

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from otel_cx_collector.errors import CollectorError
from otel_cx_collector.log.disk import Bytes, Disk

SUFFIX: Final = ".seg"
VERSION: Final = 2
MAGIC: Final = b"OCXLOG"
SEGMENT_HEAD: Final = struct.Struct("<6sHII")
"""Magic, version, then in version 1 length and CRC-32 of the schema, in version 2 zero and CRC-32 of what is before."""
HEAD_1: Final = struct.Struct("<4sIQII")
"""Magic, length, sequence, rows, CRC-32 of the body."""
HEAD_2: Final = struct.Struct("<4sIQQIIHHI")
"""Magic, length, sequence, durable, rows, schema, kind, zero, CRC-32 of the body."""
CHECK: Final = struct.Struct("<I")
"""CRC-32 of the record head before it."""

BATCH: Final = 0
SCHEMA: Final = 1
MARK: Final = 2


class LogDamaged(CollectorError):  # noqa: N818 - says what is wrong with the log
    """A record changed on disk after it was written, seen while reading; opening the log again sets it aside."""


class Record(NamedTuple):
    """Where a record's body is and what its head says."""

    kind: int
    """BATCH, SCHEMA (of batches that follow) or MARK (no body)."""
    sequence: int
    durable: int
    """Sequence of the last batch that was durable when this record was written: a promise that it is there."""
    rows: int
    schema: int
    """CRC-32 of the encoded schema."""
    crc: int
    body: int
    end: int


@dataclass(frozen=True, slots=True)
class Format:
    """How the records of a segment begin."""

    version: int
    magic: bytes
    head_bytes: int
    schema: int = 0
    """What all records have in version 1."""

    def record(self, head: bytes, at: int) -> Record | None:
        """The record whose head these bytes are, which begins at offset ``at``, if they are a whole head."""
        before = self.head_bytes - CHECK.size
        if len(head) < self.head_bytes or not head.startswith(self.magic):
            return None
        if CHECK.unpack_from(head, before)[0] != zlib.crc32(head[:before]):
            return None
        body = at + self.head_bytes
        if self.version == 1:
            _, length, sequence, rows, crc = HEAD_1.unpack_from(head)
            return Record(BATCH, sequence, sequence - 1, rows, self.schema, crc, body, body + length)
        _, length, sequence, durable, rows, schema, kind, _, crc = HEAD_2.unpack_from(head)
        return Record(kind, sequence, durable, rows, schema, crc, body, body + length)

    def head(self, record: Record) -> bytes:
        """The bytes before the body of ``record``."""
        _, sequence, durable, rows, schema, crc, body, end = record
        if self.version == 1:
            head = HEAD_1.pack(self.magic, end - body, sequence, rows, crc)
        else:
            head = HEAD_2.pack(self.magic, end - body, sequence, durable, rows, schema, record.kind, 0, crc)
        return head + CHECK.pack(zlib.crc32(head))


FORMAT: Final = Format(VERSION, b"CXR2", HEAD_2.size + CHECK.size)
HEAD_BYTES: Final = FORMAT.head_bytes


def format_1(schema: int) -> Format:
    """Of segments that hold batches of one schema, as earlier versions wrote them."""
    return Format(1, b"CXR1", HEAD_1.size + CHECK.size, schema)


@dataclass(slots=True)
class Segment:
    """A segment as far as it is durable."""

    path: Path
    start: int
    """Offset of the first record."""
    end: int
    """Offset after the last durable record."""
    last: int
    """Sequence of the last durable batch; one below the name while there is none."""
    format: Format = FORMAT
    schemas: dict[int, pa.Schema] = field(default_factory=dict)
    """By CRC-32. Schemas are added, never taken out."""


def record_head(kind: int, sequence: int, durable: int, rows: int, schema: int, length: int, crc: int) -> bytes:
    """The 44 bytes before a body of ``length`` bytes with this CRC-32."""
    return FORMAT.head(Record(kind, sequence, durable, rows, schema, crc, 0, length))


def segment_head() -> bytes:
    """The 16 bytes before the first record."""
    head = SEGMENT_HEAD.pack(MAGIC, VERSION, 0, 0)[:-4]
    return head + CHECK.pack(zlib.crc32(head))


def path_of(directory: Path, sequence: int) -> Path:
    """The segment whose first batch has ``sequence`` or a later one."""
    return directory / f"{sequence:020d}{SUFFIX}"


def name_of(path: Path) -> int:
    """The lowest sequence the segment at ``path`` can hold."""
    return int(path.name.removesuffix(SUFFIX))


def write_durably(disk: Disk, path: Path, *parts: Bytes) -> None:
    """A file that is there as a whole or not at all: ``*.new``, sync, rename, sync of the directory."""
    new = path.with_name(path.name + ".new")
    try:
        fd = disk.create(new)
        try:
            if disk.write(fd, parts, 0) < sum(map(len, parts)):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            disk.sync(fd)
        finally:
            disk.close(fd)
        disk.rename(new, path)
    except OSError:
        with suppress(OSError):
            disk.unlink(new)
        raise
    disk.sync_directory(path.parent)


def create(disk: Disk, directory: Path, sequence: int) -> Segment:
    """A new durable segment without records. OSError when the disk will not take it."""
    head = segment_head()
    path = path_of(directory, sequence)
    write_durably(disk, path, head)
    return Segment(path, len(head), len(head), sequence - 1)


def read(disk: Disk, segment: Segment, after: int, offset: int) -> Iterator[tuple[Record, pa.RecordBatch]]:
    """Batches above ``after`` among the durable records from ``offset`` on. Raises LogDamaged when one has changed."""
    form = segment.format
    with disk.reader(segment.path) as file:
        file.seek(offset)
        while offset < segment.end:
            record = form.record(file.read(form.head_bytes), offset)
            if record is None:
                raise changed(segment.path, offset)
            if record.kind != BATCH or record.sequence <= after:
                file.seek(record.end)
            else:
                body = file.read(record.end - record.body)
                schema = segment.schemas.get(record.schema)
                if schema is None or zlib.crc32(body) != record.crc:
                    raise changed(segment.path, offset)
                yield record, pa.ipc.read_record_batch(pa.py_buffer(body), schema)
            offset = record.end


def changed(path: Path, offset: int) -> LogDamaged:
    """What to raise for a record that is not what was written, after the log was opened."""
    return LogDamaged(
        f"{path}: the record at offset {offset} has changed since it was written. Restart the collector: it sets the "
        f"file aside and goes on with every whole record; then check the disk"
    )


def schema_record(schema: pa.Schema, sequence: int, durable: int) -> bytes:
    """The record that comes before the first batch of ``schema`` in a segment."""
    body = bytes(schema.serialize())
    crc = zlib.crc32(body)
    return record_head(SCHEMA, sequence, durable, 0, crc, len(body), crc) + body
