"""Takes somebody's rows out of a segment, leaving every other byte where it is. Not which segments there are."""

import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from otel_cx_collector.errors import UserError
from otel_cx_collector.log import segment as segments
from otel_cx_collector.log.disk import Bytes, Disk, Mapped
from otel_cx_collector.log.segment import BATCH, Record, Segment


def erase_in(disk: Disk, segment: Segment, column: str, value: str) -> int:
    """Replace the segment by one without the rows whose ``column`` is ``value``; return how many they were.

    A record keeps its place, sequence and length: what is left of its batch is followed by zeros. So a position that a
    reader stands at stays good, and a crash leaves the old file or the new one. Takes as much room as the segment
    until it returns. Raises UserError when the disk has not got it: nothing has changed then.
    """
    if not any(column in schema.names for schema in segment.schemas.values()):
        return 0
    with disk.mapped(segment.path) as data, memoryview(data) as view:
        parts, rows = _without(segment, data, view, column, value)
        try:
            if rows:
                segments.write_durably(disk, segment.path, *parts)
        except OSError as error:
            raise UserError(
                f"{segment.path} cannot be written anew: {error.strerror}; free {segment.end} bytes and erase again"
            ) from error
        finally:
            for part in parts:
                if isinstance(part, memoryview):
                    part.release()
    return rows


def erase_copies(disk: Disk, directory: Path) -> int:
    """Delete what was set aside as damaged: whose rows are in it cannot be told. Return how many files."""
    copies = [name for name in disk.names(directory) if name.endswith(".damaged")]
    for name in copies:
        disk.unlink(directory / name)
    if copies:
        disk.sync_directory(directory)
    return len(copies)


def _without(segment: Segment, data: Mapped, view: memoryview, column: str, value: str) -> tuple[list[Bytes], int]:
    """The parts of the segment's new file, and how many rows less it holds."""
    parts: list[Bytes] = []
    form, at, copied, rows = segment.format, segment.start, 0, 0
    while at < segment.end:
        record = form.record(data[at : at + form.head_bytes], at)
        if record is None:
            raise segments.changed(segment.path, at)
        schema = segment.schemas.get(record.schema)
        if record.kind == BATCH and schema is not None and column in schema.names:
            batch = _batch(segment, record, data, at)
            left = batch.filter(_others(batch.column(column), value))
            if left.num_rows < batch.num_rows:
                rows += batch.num_rows - left.num_rows
                parts += (view[copied:at], _record(segment, record, left))
                copied = record.end
        at = record.end
    return [*parts, view[copied : segment.end]], rows


def _batch(segment: Segment, record: Record, data: Mapped, at: int) -> pa.RecordBatch:
    body = data[record.body : record.end]
    if zlib.crc32(body) != record.crc:
        raise segments.changed(segment.path, at)
    return pa.ipc.read_record_batch(pa.py_buffer(body), segment.schemas[record.schema])


def _others(column: pa.Array, value: str) -> pa.Array:
    """Which rows are not theirs; a row without the column's value is nobody's."""
    try:
        theirs = pc.equal(column, pa.scalar(value, column.type))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UserError(f"{value!r} is no {column.type}; give a value as the rows have it") from error
    return pc.invert(pc.fill_null(theirs, False))  # noqa: FBT003 - what pyarrow takes


def _record(segment: Segment, record: Record, left: pa.RecordBatch) -> bytes:
    length = record.end - record.body
    body = bytes(left.serialize()).ljust(length, b"\0")
    if len(body) > length:
        raise AssertionError(f"fewer rows took more bytes: {len(body)} and {length}")
    changed = record._replace(rows=left.num_rows, crc=zlib.crc32(body))
    return segment.format.head(changed) + body
