"""The log's writer and its limits: appends wait together for one ``fdatasync``. Not the bytes of a segment."""

import errno
import os
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

import pyarrow as pa

from otel_cx_collector.config import LogLimits
from otel_cx_collector.errors import Unavailable, UserError
from otel_cx_collector.log import segment as segments
from otel_cx_collector.log.disk import Bytes, Disk, RealDisk
from otel_cx_collector.log.erasure import erase_copies, erase_in
from otel_cx_collector.log.mark import read_mark, write_mark
from otel_cx_collector.log.pace import Pace
from otel_cx_collector.log.recovery import recover
from otel_cx_collector.log.segment import BATCH, MARK, Segment
from otel_cx_collector.log.waiting import Encoder, Waiting

RETRY_S: Final = (1, 3)
"""A refused sender comes back after a random whole number of seconds between these, so that not all do at once."""
AHEAD_BYTES: Final = 1 << 20
"""Zeros written ahead of the records: a sync of bytes that the file has already need not wait for the file system's
journal."""
AHEAD_SHARE: Final = 16
"""Nothing is written ahead in segments of fewer than so many times AHEAD_BYTES."""

_ZEROS: Final = bytes(AHEAD_BYTES)


class Log:
    """Durable row batches in order, each with a position: a whole number that grows.

    Thread-safe. One process at a time: opening a directory that is in use, or cannot be used, raises UserError. What
    was found damaged at opening is in ``damage`` and has been logged.
    """

    def __init__(
        self,
        directory: Path,
        limits: LogLimits | None = None,
        *,
        disk: Disk | None = None,
        ahead_bytes: int = AHEAD_BYTES,
    ) -> None:
        self.directory = directory
        self.limits = limits or LogLimits()
        self._disk: Disk = disk or RealDisk()
        self._ahead = ahead_bytes if ahead_bytes * AHEAD_SHARE <= self.limits.segment_bytes else 0
        self._state = threading.Lock()
        """Guards everything below but what the writer owns."""
        self._grown = threading.Condition(self._state)
        self._settled = threading.Condition(self._state)
        self._writing = False
        """One thread is the writer. It owns ``_fd``, ``_next``, ``_filled`` and ``_spare``."""
        self._marking = threading.Lock()
        self._queue: list[Waiting] = []
        self._queued = 0
        self._closed = False
        self._active: Segment | None = None
        self._fd = -1
        self._filled = 0
        """How far the open segment's file reaches."""
        self._spare = 0
        """Bytes on the disk that neither the batches nor the reserve need."""
        self._encoder = Encoder(self.limits.batch_bytes)
        self._pace = Pace()
        self._appended = 0
        self._resume = (0, directory, 0)
        """Where the last read stood: position, segment, offset after it."""
        self._claim = self._disk.claim(directory)
        try:
            self._disk.sync_directory(directory)  # what a killed process left half done is settled first
            self._stored = read_mark(self._disk, directory)
            self._segments, self.damage = recover(self._disk, directory, self._stored)
        except BaseException as error:
            self._disk.close(self._claim)
            if isinstance(error, OSError):
                raise UserError(
                    f"the log in {directory} cannot be read: {error}; see to the disk and its files"
                ) from error
            raise
        self._used = sum(segment.end for segment in self._segments)
        self._last = max([self._stored, *(segment.last for segment in self._segments)])
        self._next = self._last + 1

    @property
    def stored(self) -> int:
        """Every batch up to this position is in the store."""
        return self._stored

    @property
    def last(self) -> int:
        """Position of the last durable batch."""
        return self._last

    @property
    def bytes_used(self) -> int:
        """Bytes on disk that count against ``limits.max_bytes``."""
        return self._used

    def append(self, batch: pa.RecordBatch) -> int:
        """Return the position of ``batch`` once it is durable.

        Raises Unavailable when the log or its disk is full, will not take a write, or is closed: the batch is not kept
        (should the disk not even let it be taken back, it may turn up at the next start, as if it had been sent twice).
        Raises BatchTooLarge for one over ``limits.batch_bytes``, ValueError for dictionary-encoded columns.
        """
        waiting = self._enqueue(batch)
        with self._state:
            while self._writing and not waiting.settled:
                self._settled.wait()
            if waiting.settled:  # the thread that wrote before took it along
                writer = False
            else:
                writer = self._writing = True
        if writer:
            self._commit()
        if waiting.refused:
            raise Unavailable(waiting.refused, random.randint(*RETRY_S))  # noqa: S311 - spreads load, guards nothing
        return waiting.sequence

    def read(self, after: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Positions and batches above ``after`` that are durable when the first is taken, in order.

        Raises LogDamaged when a record has changed since it was written.
        """
        with self._state:
            parts = [replace(segment) for segment in self._segments if segment.last > after]
        position, path, offset = self._resume
        for part in parts:
            start = offset if (position, path) == (after, part.path) else part.start
            # A file that is gone was deleted by mark_stored in the meantime.
            with suppress(FileNotFoundError):
                for record, batch in segments.read(self._disk, part, after, start):
                    self._resume = (record.sequence, part.path, record.end)
                    yield record.sequence, batch

    def wait(self, after: int, timeout_s: float) -> bool:
        """Whether there is a batch above ``after``; waits for one until ``timeout_s`` is over or the log is closed."""
        with self._grown:
            self._grown.wait_for(lambda: self._last > after or self._closed, timeout_s)
            return self._last > after

    def mark_stored(self, position: int) -> None:
        """Remember durably that the store has every batch up to ``position``; delete the segments nobody needs.

        Never goes back. Raises OSError when the disk will not take the mark: batches are then sent to the store again
        after a restart, which changes nothing there.
        """
        with self._marking:
            with self._state:
                if self._closed:
                    raise Unavailable("the log is closed: the collector is stopping")
                if position > self._last:
                    raise ValueError(f"position {position} was never appended; the last one is {self._last}")
                if position <= self._stored:
                    return
                done = [it for it in self._segments if it.last <= position and it is not self._active]
                self._segments = [it for it in self._segments if it not in done]
                self._used -= sum(segment.end for segment in done)
            # First make room: the mark itself needs some, and on a full disk this is the only way to get it.
            for segment in done:
                self._disk.unlink(segment.path)
            write_mark(self._disk, self.directory, position)
            self._stored = position

    def minutes_left(self, now_s: float) -> float | None:
        """How many minutes the log lasts if the store takes nothing, at the rate of the last five; None when idle.

        Each call notes where the log stands at ``now_s`` (seconds of any clock that does not go back), so the first
        ones know no rate yet. The room is what ``limits.max_bytes`` leaves or, where that is less, the disk.
        """
        with self._state:
            room = self.limits.max_bytes - self._used
            self._pace.look(now_s, self._appended)
            with suppress(OSError):
                room = min(room, self._disk.free_bytes(self.directory) - self.limits.min_free_bytes)
            return self._pace.minutes(room)

    def erase(self, column: str, value: str) -> int:
        """Take out the rows whose ``column`` is ``value``, in every batch that has such a column; return how many.

        What was set aside as damaged is deleted, since nobody can say whose rows are in it. Positions stay as they are,
        and a batch may be left without rows. Batches that a reader has been handed already are not touched: let what
        was read reach the store before erasing there. After a crash or an error some rows may be left: erase again.
        Raises UserError when the disk has no room for a second copy of one segment.
        """
        with self._marking:
            self._become_writer()
            try:
                if self._closed:
                    raise Unavailable("the log is closed: the collector is stopping")
                self._commit(more=True)
                self._seal()
                erase_copies(self._disk, self.directory)
                return sum(erase_in(self._disk, segment, column, value) for segment in self._segments)
            finally:
                self._stop_writing()

    def close(self) -> None:
        """Write what is waiting, refuse everything after, and let another process have the directory."""
        with self._state:
            if self._closed:
                return
            self._closed = True
            self._grown.notify_all()
        with self._marking:
            self._become_writer()
            try:
                self._commit(more=True)
                self._promise()
            finally:
                self._seal()
                self._disk.close(self._claim)
                self._stop_writing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _enqueue(self, batch: pa.RecordBatch) -> Waiting:
        """Put a batch in line for the next write."""
        waiting = self._encoder.encode(batch)
        with self._state:
            self._admit(waiting.size)
            self._queue.append(waiting)
            self._queued += waiting.size
        return waiting

    def _admit(self, size: int) -> None:
        if self._closed:
            raise Unavailable("the log is closed: the collector is stopping")
        if self._used + self._queued + size > self.limits.max_bytes:
            raise Unavailable(
                f"the log is full: {self._used} of {self.limits.max_bytes} bytes hold rows the store has not taken; "
                f"see to the store, or raise log.max_bytes",
                random.randint(*RETRY_S),  # noqa: S311 - spreads load, guards nothing
            )

    def _become_writer(self) -> None:
        with self._state:
            while self._writing:
                self._settled.wait()
            self._writing = True

    def _stop_writing(self) -> None:
        with self._state:
            self._writing = False
            self._settled.notify_all()

    def _commit(self, *, more: bool = False) -> None:
        """Write all that is waiting; each batch knows afterwards what became of it. Stays the writer for ``more``."""
        with self._state:
            todo, self._queue = self._queue, []
        size = sum(waiting.size for waiting in todo)
        reason = ""
        try:
            reason = self._disk_full(size) if todo else ""
            while todo and not reason:
                todo = todo[self._write(todo) :]
        except OSError as error:
            reason = f"the log's disk ({self.directory}) refuses writes: {error.strerror}; see to it"
            self._undo()
        except BaseException as error:
            reason = f"the log's writer was stopped by {error!r}; try again"
            self._undo()
            raise
        finally:
            for waiting in todo:
                waiting.settled, waiting.refused = True, reason
            with self._state:
                self._queued -= size
            if not more:
                self._stop_writing()

    def _disk_full(self, size: int) -> str:
        """Why ``size`` bytes more would leave too little on the disk, or nothing."""
        free = self._disk.free_bytes(self.directory)
        self._spare = free - size - self.limits.min_free_bytes
        if self._spare >= 0:
            return ""
        return (
            f"the log's disk ({self.directory}) is full: {free} bytes are free and log.min_free_bytes is "
            f"{self.limits.min_free_bytes}; free some, and requests are taken again"
        )

    def _write(self, group: list[Waiting]) -> int:
        """Make the first batches of ``group`` durable, as many as go into one segment; return how many."""
        active = self._segment_for(group[0])
        parts: list[Bytes] = []
        end, taken = active.end, 0
        schemas = dict(active.schemas)
        for waiting in group:
            if taken and not self._fits(schemas, end, waiting):
                break
            waiting.sequence, self._next = self._next, self._next + 1
            crc = waiting.schema.crc
            if crc not in schemas:
                schemas[crc] = waiting.schema.schema
                parts.append(segments.schema_record(waiting.schema.schema, waiting.sequence, self._last))
                end += waiting.schema.size
            length = len(waiting.body)
            head = segments.record_head(BATCH, waiting.sequence, self._last, waiting.rows, crc, length, waiting.crc)
            parts += (head, waiting.body)
            end += waiting.size
            taken += 1
        self._put(active, parts, end)
        self._publish(active, group[:taken], end, schemas)
        return taken

    def _put(self, active: Segment, parts: list[Bytes], end: int) -> None:
        """Write ``parts``, which reach to ``end``, durably, and zeros behind them when the file ends there."""
        if end > self._filled:
            zeros = min(self._ahead, self.limits.segment_bytes - end)
            if 0 < zeros <= self._spare:
                parts.append(_ZEROS[:zeros])
        reached = active.end + self._disk.write(self._fd, parts, active.end)
        self._filled = max(self._filled, reached)
        if reached < end:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._disk.sync(self._fd)

    def _fits(self, schemas: dict[int, pa.Schema], end: int, waiting: Waiting) -> bool:
        """Whether a segment that ends at ``end`` can take a batch: by its size, and by having no other such schema."""
        known = schemas.get(waiting.schema.crc)
        size = waiting.size if known else waiting.size + waiting.schema.size
        same = known is None or known.equals(waiting.schema.schema, check_metadata=True)
        return end + size <= self.limits.segment_bytes and same

    def _segment_for(self, waiting: Waiting) -> Segment:
        active = self._active
        if active is not None and self._fits(active.schemas, active.end, waiting):
            return active
        self._seal()
        active = segments.create(self._disk, self.directory, self._next)
        self._fd, self._filled = self._disk.open(active.path), active.end
        with self._state:
            self._active = active
            self._segments.append(active)
            self._used += active.end
        return active

    def _publish(self, active: Segment, written: list[Waiting], end: int, schemas: dict[int, pa.Schema]) -> None:
        with self._state:
            self._used += end - active.end
            self._appended += end - active.end
            active.end, active.last, active.schemas = end, written[-1].sequence, schemas
            self._last = active.last
            for waiting in written:
                waiting.settled, waiting.refused = True, ""
            self._grown.notify_all()
            self._settled.notify_all()

    def _undo(self) -> None:
        """Cut off what a failed write left behind its last durable record, and write no more to that file.

        After a failed sync the kernel may count pages as clean that never reached the disk, so the file is not trusted
        with another batch. An empty segment goes altogether, or a full disk would collect them.
        """
        active = self._active
        if active is None:
            return
        self._filled = active.end + 1  # whatever it is, the file is cut
        self._seal()
        if active.end == active.start:
            with self._state:
                self._segments.remove(active)
                self._used -= active.end
            with suppress(OSError):
                self._disk.unlink(active.path)

    def _promise(self) -> None:
        """Leave a mark that all is durable: what is missing at the next start was lost, not cut off."""
        active = self._active
        if active is None or active.end == active.start:
            return
        mark = segments.record_head(MARK, active.last, active.last, 0, 0, 0, 0)
        with suppress(OSError):
            written = self._disk.write(self._fd, [mark], active.end)
            self._filled = max(self._filled, active.end + written)
            if written == len(mark):
                self._disk.sync(self._fd)
                active.end += written

    def _seal(self) -> None:
        """Cut the open segment's file to what it holds, and close it."""
        fd, active, self._fd, self._active = self._fd, self._active, -1, None
        if fd < 0:
            return
        with suppress(OSError):  # what it holds has been synced, or been given up
            if active is not None and self._filled > active.end:
                self._disk.truncate(fd, active.end)
        with suppress(OSError):
            self._disk.close(fd)


def erase(where: Path | Log, column: str, value: str) -> int:
    """Log.erase of an open log, or of the one in a directory that no process has open (UserError when one has)."""
    if isinstance(where, Log):
        return where.erase(column, value)
    with Log(where) as log:
        return log.erase(column, value)
