"""One segment file of the log: its bytes, how they are checked, and what is made of damaged ones. Not when to write."""

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from otel_cx_collector.errors import CollectorError, UserError

SUFFIX: Final = ".seg"
VERSION: Final = 1
SEGMENT_MAGIC: Final = b"OCXLOG"
RECORD_MAGIC: Final = b"CXR1"
SEGMENT_HEAD: Final = struct.Struct("<6sHII")
RECORD_HEAD: Final = struct.Struct("<4sIQII")
CHECK: Final = struct.Struct("<I")
HEAD_BYTES: Final = RECORD_HEAD.size + CHECK.size


class LogDamaged(CollectorError):  # noqa: N818 - says what is wrong with the log
    """A record changed on disk after it was written, seen while reading; opening the log again sets it aside."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are not what was written."""

    kept: Path
    """The whole damaged file, set aside."""
    offset: int
    size: int

    def __str__(self) -> str:
        """What happened and what to do."""
        return (
            f"{self.size} bytes at offset {self.offset} of a log segment are not what was written; the rows in them "
            f"are lost, all others are used. The damaged file is kept as {self.kept}: check the disk, then delete it"
        )


@dataclass(slots=True)
class Segment:
    """A segment as far as it is durable."""

    path: Path
    schema: pa.Schema
    start: int
    """Offset of the first record."""
    end: int
    """Offset after the last durable record."""
    last: int
    """Sequence of the last durable record; one below the name while there is none."""


class Record(NamedTuple):
    """Where a record's body is and what its head says."""

    sequence: int
    rows: int
    body: int
    end: int


def record_head(sequence: int, rows: int, length: int, body_crc: int) -> bytes:
    """The 28 bytes before a body of ``length`` bytes."""
    head = RECORD_HEAD.pack(RECORD_MAGIC, length, sequence, rows, body_crc)
    return head + CHECK.pack(zlib.crc32(head))


def segment_head(schema: pa.Schema) -> bytes:
    """The bytes before the first record."""
    encoded = bytes(schema.serialize())
    return SEGMENT_HEAD.pack(SEGMENT_MAGIC, VERSION, len(encoded), zlib.crc32(encoded)) + encoded


def path_of(directory: Path, sequence: int) -> Path:
    """The segment whose first record has ``sequence`` or a later one."""
    return directory / f"{sequence:020d}{SUFFIX}"


def name_of(path: Path) -> int:
    """The lowest sequence the segment at ``path`` can hold."""
    return int(path.name.removesuffix(SUFFIX))


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: Path, *parts: bytes | memoryview) -> None:
    """A file that is there as a whole or not at all: ``*.new``, fsync, rename, fsync of the directory."""
    new = path.with_name(path.name + ".new")
    try:
        with open(new, "wb", opener=_private) as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def create(directory: Path, sequence: int, schema: pa.Schema) -> Segment:
    """A new durable segment without records. OSError when the disk will not take it."""
    head = segment_head(schema)
    path = path_of(directory, sequence)
    write_durably(path, head)
    return Segment(path, schema, len(head), len(head), sequence - 1)


def read(segment: Segment, after: int, offset: int) -> Iterator[tuple[Record, pa.RecordBatch]]:
    """Batches above ``after`` among the durable records from ``offset`` on. Raises LogDamaged when one has changed."""
    with segment.path.open("rb", buffering=1 << 20) as file:
        file.seek(offset)
        while offset < segment.end:
            head = file.read(HEAD_BYTES)
            record = _record(head, 0, offset)
            if record is None:
                raise _changed(segment.path, offset)
            if record.sequence <= after:
                file.seek(record.end)
            else:
                body = file.read(record.end - record.body)
                if zlib.crc32(body) != _body_crc(head):
                    raise _changed(segment.path, offset)
                yield record, pa.ipc.read_record_batch(pa.py_buffer(body), segment.schema)
            offset = record.end


def _changed(path: Path, offset: int) -> LogDamaged:
    return LogDamaged(
        f"{path}: the record at offset {offset} has changed since it was written. Restart the collector: it sets the "
        f"file aside and goes on with every whole record; then check the disk"
    )


def _record(data: bytes | mmap.mmap, at: int, base: int = 0) -> Record | None:
    """The record whose head stands at ``at``, if a whole head does. ``base`` is the file's offset of ``data``."""
    head = data[at : at + HEAD_BYTES]
    if len(head) < HEAD_BYTES or not head.startswith(RECORD_MAGIC):
        return None
    if CHECK.unpack_from(head, RECORD_HEAD.size)[0] != zlib.crc32(head[: RECORD_HEAD.size]):
        return None
    _, length, sequence, rows, _ = RECORD_HEAD.unpack_from(head)
    body = base + at + HEAD_BYTES
    return Record(sequence, rows, body, body + length)


def _body_crc(head: bytes) -> int:
    return int(RECORD_HEAD.unpack_from(head)[4])


@dataclass(slots=True)
class Survey:
    """What a check of every byte of a segment found. Ranges are (from, to) offsets."""

    whole: list[tuple[int, int]] = field(default_factory=list)
    damaged: list[tuple[int, int]] = field(default_factory=list)
    torn: int = 0
    """Bytes at the end that are no whole record."""
    last: int = 0


def survey(data: mmap.mmap, start: int, below: int) -> Survey:
    """Check the records of a segment from ``start`` on, whose sequences must be above ``below`` and grow."""
    found = Survey(last=below)
    at = start
    while at < len(data):
        record = _whole(data, at, found.last)
        if record is not None:
            found.whole.append((at, record.end))
            found.last, at = record.sequence, record.end
            continue
        after = _next_whole(data, at + 1, found.last)
        if after is None and not _complete(data, at):
            found.torn = len(data) - at
            break
        to = len(data) if after is None else after
        found.damaged.append((at, to))
        at = to
    return found


def _whole(data: mmap.mmap, at: int, below: int) -> Record | None:
    record = _record(data, at)
    if record is None or record.sequence <= below or record.end > len(data):
        return None
    with memoryview(data) as view, view[record.body : record.end] as body:
        good = zlib.crc32(body) == _body_crc(data[at : at + HEAD_BYTES])
    return record if good else None


def _next_whole(data: mmap.mmap, at: int, below: int) -> int | None:
    at = data.find(RECORD_MAGIC, at)
    while at >= 0 and _whole(data, at, below) is None:
        at = data.find(RECORD_MAGIC, at + 1)
    return at if at >= 0 else None


def _complete(data: mmap.mmap, at: int) -> bool:
    """Whether a record begins at ``at`` and all its bytes are there, right or wrong."""
    record = _record(data, at)
    return record is not None and record.end <= len(data)


def recover(path: Path, *, newest: bool) -> tuple[Segment | None, list[Damage]]:
    """Check a segment found on disk and mend it: cut off a torn tail, set damage aside.

    ``newest`` says that it is the one that was being written, so that a tail that is no whole record is nothing but a
    write that did not finish; anywhere else it is damage. None when the file is no segment, and is set aside as it is.
    """
    size = path.stat().st_size
    with path.open("rb") as file, _mapped(file.fileno(), size) as data:
        schema, start = _schema(path, data)
        if schema is None:
            return None, [Damage(path.replace(_aside(path, 0)), 0, size)]
        found = survey(data, start, name_of(path) - 1)
        if found.torn and not newest:
            found.damaged.append((size - found.torn, size))
        if found.damaged:
            _set_aside(path, data, start, found)
    end = start + sum(to - at for at, to in found.whole)
    if found.torn and not found.damaged:
        _truncate(path, end)
    return Segment(path, schema, start, end, found.last), _damage(path, found)


def _mapped(fd: int, size: int) -> mmap.mmap:
    return mmap.mmap(fd, size, access=mmap.ACCESS_READ) if size else mmap.mmap(-1, 1, access=mmap.ACCESS_READ)


def _schema(path: Path, data: mmap.mmap) -> tuple[pa.Schema | None, int]:
    if len(data) < SEGMENT_HEAD.size:
        return None, 0
    magic, version, length, crc = SEGMENT_HEAD.unpack_from(data)
    if magic == SEGMENT_MAGIC and version > VERSION:
        raise UserError(
            f"{path}: this log is of format {version}, and this version of the collector knows up to {VERSION}; run "
            f"the version that wrote it, or a later one"
        )
    start = SEGMENT_HEAD.size + length
    encoded = data[SEGMENT_HEAD.size : start]
    if magic != SEGMENT_MAGIC or len(encoded) != length or zlib.crc32(encoded) != crc:
        return None, 0
    return pa.ipc.read_schema(pa.py_buffer(encoded)), start


def _aside(path: Path, offset: int) -> Path:
    return path.with_name(f"{path.name}.{offset}.damaged")


def _set_aside(path: Path, data: mmap.mmap, start: int, found: Survey) -> None:
    """Keep a copy of the whole file, then leave nothing but its whole records in its place."""
    with memoryview(data) as view:
        write_durably(_aside(path, found.damaged[0][0]), view)
        write_durably(path, view[:start], *(view[at:to] for at, to in found.whole))


def _damage(path: Path, found: Survey) -> list[Damage]:
    return [Damage(_aside(path, found.damaged[0][0]), at, to - at) for at, to in found.damaged]


def _truncate(path: Path, end: int) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(fd, end)
        os.fsync(fd)
    finally:
        os.close(fd)
