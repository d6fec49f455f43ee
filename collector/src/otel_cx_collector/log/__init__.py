"""Acknowledged means durable: an append-only log of row batches, one ``fdatasync`` for all who wait. Not the store.

Format, version 1. All integers are little-endian.

A log is a directory of mode 0700, used by one process at a time, that holds

``lock``
    Held with ``flock`` while the log is open; its text is the process id.
``stored``
    ``otel-cx-log 1 <sequence> <CRC-32 of what is before this space, eight hex digits>`` and a newline. Every record up
    to that sequence is in the store. Replaced by rename.
``<20 digits>.seg``
    A segment; no record in it has a sequence below the number in its name. It starts with a head of 16 bytes (magic
    ``OCXLOG``, u16 version, u32 length of the schema, u32 CRC-32 of the schema) and the schema as an Arrow IPC message;
    then come records until the end of the file.
``<20 digits>.seg.<offset>.damaged``
    A copy of a segment in which something was found that is not what was written, first at that offset. Kept for a
    person to look at: never read again, never deleted, not counted in the limit.
``*.new``
    A file that was being made when the process died; removed at the next start.

A record is a head of 28 bytes (magic ``CXR1``, u32 length of the body, u64 sequence, u32 number of rows, u32 CRC-32 of
the body, u32 CRC-32 of the 24 bytes before it) and the body: one record batch as an Arrow IPC message, whose schema is
the segment's. Rows, levels and facts have a schema each, told apart by its metadata ``table``. Sequences grow strictly;
there is a gap where an append failed, so that none is used twice.

Opening checks every record. What the last segment's tail holds beyond its last whole record was never acknowledged and
is cut off. A record that is wrong although all of it is there, or although others follow, is damage: it is told aloud,
the file is kept aside, and every whole record before and after it is still used.
"""

from otel_cx_collector.config import LogLimits
from otel_cx_collector.log.log import BatchTooLarge, Log
from otel_cx_collector.log.segment import Damage, LogDamaged

__all__ = ["BatchTooLarge", "Damage", "Log", "LogDamaged", "LogLimits"]
