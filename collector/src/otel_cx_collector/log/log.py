"""The log's writer and its limits: appends wait together for one ``fdatasync``. Not the bytes of a segment."""

import errno
import fcntl
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Final, Self

import pyarrow as pa
import structlog

from otel_cx_collector.config import LogLimits
from otel_cx_collector.errors import CollectorError, Unavailable, UserError
from otel_cx_collector.log import segment as segments
from otel_cx_collector.log.segment import Damage, Segment

STORED: Final = "stored"
LOCK: Final = "lock"

_logger = structlog.get_logger(__name__)


class BatchTooLarge(CollectorError):  # noqa: N818 - says what is wrong with the batch
    """A batch that no record may hold, however often it is sent: cut it and append the parts."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A batch on its way to the disk, and what became of it."""

    batch: pa.RecordBatch
    body: memoryview
    crc: int
    size: int
    sequence: int = 0
    settled: bool = False
    refused: str = "the log's writer left it behind; try again"
    """Why it is not durable; empty once it is."""


class Log:
    """Durable row batches in order, each with a position: a whole number that grows.

    Thread-safe. One process at a time: opening a directory that is in use, or cannot be used, raises UserError. What
    was found damaged at opening is in ``damage`` and has been logged.
    """

    def __init__(self, directory: Path, limits: LogLimits | None = None) -> None:
        self.directory = directory
        self.limits = limits or LogLimits()
        self._state = threading.Lock()
        """Guards everything below but ``_fd`` and ``_next``."""
        self._grown = threading.Condition(self._state)
        self._writing = threading.Lock()
        """Held by the one thread that writes; guards ``_fd`` and ``_next``."""
        self._marking = threading.Lock()
        self._queue: list[_Waiting] = []
        self._queued = 0
        self._closed = False
        self._active: Segment | None = None
        self._fd = -1
        self._checked: pa.Schema = pa.schema([])
        self._resume = (0, directory, 0)
        """Where the last read stood: position, segment, offset after it."""
        self._claim = _claim(directory)
        try:
            self._stored = _read_stored(directory)
            self._segments, self.damage = _recover(directory, self._stored)
        except BaseException as error:
            os.close(self._claim)
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
        waiting = self._encode(batch)
        with self._state:
            self._admit(waiting.size)
            self._queue.append(waiting)
            self._queued += waiting.size
        with self._writing:
            if not waiting.settled:  # else the thread that wrote before took it along
                self._commit()
        if waiting.refused:
            raise Unavailable(waiting.refused)
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
                for record, batch in segments.read(part, after, start):
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
                segment.path.unlink(missing_ok=True)
            segments.write_durably(self.directory / STORED, _stored_text(position))
            self._stored = position

    def close(self) -> None:
        """Write what is waiting, refuse everything after, and let another process have the directory."""
        with self._grown:
            if self._closed:
                return
            self._closed = True
            self._grown.notify_all()
        with self._marking, self._writing:
            self._commit()
            self._seal()
            os.close(self._claim)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _encode(self, batch: pa.RecordBatch) -> _Waiting:
        if not batch.schema.equals(self._checked):
            _refuse_dictionaries(batch.schema)
            self._checked = batch.schema
        body = memoryview(batch.serialize())
        if len(body) > self.limits.batch_bytes:
            raise BatchTooLarge(
                f"a batch of {batch.num_rows} rows takes {len(body)} bytes, and the log's batch_bytes is "
                f"{self.limits.batch_bytes}; append it in smaller parts"
            )
        return _Waiting(batch, body, zlib.crc32(body), segments.HEAD_BYTES + len(body))

    def _admit(self, size: int) -> None:
        if self._closed:
            raise Unavailable("the log is closed: the collector is stopping")
        if self._used + self._queued + size > self.limits.max_bytes:
            raise Unavailable(
                f"the log is full: {self._used} of {self.limits.max_bytes} bytes hold rows the store has not taken; "
                f"see to the store, or raise log.max_bytes"
            )

    def _commit(self) -> None:
        """Write all that is waiting; each batch knows afterwards what became of it."""
        with self._state:
            todo, self._queue = _by_schema(self._queue, self._active), []
        size = sum(waiting.size for waiting in todo)
        reason = ""
        try:
            reason = self._disk_full(size)
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

    def _disk_full(self, size: int) -> str:
        """Why ``size`` bytes more would leave too little on the disk, or nothing."""
        disk = os.statvfs(self.directory)
        free = disk.f_bavail * disk.f_frsize
        if free >= size + self.limits.min_free_bytes:
            return ""
        return (
            f"the log's disk ({self.directory}) is full: {free} bytes are free and log.min_free_bytes is "
            f"{self.limits.min_free_bytes}; free some, and requests are taken again"
        )

    def _write(self, group: list[_Waiting]) -> int:
        """Make the first batches of ``group`` durable, as many as go into one segment; return how many."""
        active = self._segment_for(group[0])
        end, taken = active.end, 0
        for waiting in group:
            if taken and not self._fits(active, end, waiting):
                break
            waiting.sequence, self._next = self._next, self._next + 1
            head = segments.record_head(waiting.sequence, waiting.batch.num_rows, len(waiting.body), waiting.crc)
            if os.pwritev(self._fd, [head, waiting.body], end) < waiting.size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            end += waiting.size
            taken += 1
        os.fdatasync(self._fd)
        self._publish(active, group[:taken], end)
        return taken

    def _fits(self, segment: Segment, end: int, waiting: _Waiting) -> bool:
        return end + waiting.size <= self.limits.segment_bytes and waiting.batch.schema.equals(segment.schema)

    def _segment_for(self, waiting: _Waiting) -> Segment:
        active = self._active
        if active is not None and self._fits(active, active.end, waiting):
            return active
        self._seal()
        active = segments.create(self.directory, self._next, waiting.batch.schema)
        self._fd = os.open(active.path, os.O_WRONLY)
        with self._state:
            self._active = active
            self._segments.append(active)
            self._used += active.end
        return active

    def _publish(self, active: Segment, written: list[_Waiting], end: int) -> None:
        with self._grown:
            self._used += end - active.end
            active.end, active.last = end, written[-1].sequence
            self._last = active.last
            for waiting in written:
                waiting.settled, waiting.refused = True, ""
            self._grown.notify_all()

    def _undo(self) -> None:
        """Cut off what a failed write left behind its last durable record, and write no more to that file.

        After a failed sync the kernel may count pages as clean that never reached the disk, so the file is not trusted
        with another batch. An empty segment goes altogether, or a full disk would collect them.
        """
        active = self._active
        if active is None:
            return
        with suppress(OSError):
            os.ftruncate(self._fd, active.end)
            os.fsync(self._fd)
        self._seal()
        if active.end == active.start:
            with self._state:
                self._segments.remove(active)
                self._used -= active.end
            with suppress(OSError):
                active.path.unlink()

    def _seal(self) -> None:
        fd, self._fd, self._active = self._fd, -1, None
        if fd >= 0:
            with suppress(OSError):  # what it holds has been synced, or been given up
                os.close(fd)


def _by_schema(waiting: list[_Waiting], active: Segment | None) -> list[_Waiting]:
    """Batches of one schema together, those of the open segment first: each change of schema costs a new segment."""
    schemas = [active.schema] if active else []
    groups: list[list[_Waiting]] = [[] for _ in schemas]
    for each in waiting:
        at = next((at for at, schema in enumerate(schemas) if schema.equals(each.batch.schema)), len(schemas))
        if at == len(schemas):
            schemas.append(each.batch.schema)
            groups.append([])
        groups[at].append(each)
    return [each for group in groups for each in group]


def _refuse_dictionaries(schema: pa.Schema) -> None:
    for column in schema:
        if pa.types.is_dictionary(column.type):
            raise ValueError(f"column {column.name} is dictionary-encoded, which a record cannot hold; decode it")


def _claim(directory: Path) -> int:
    """Make the directory private and ours; return the descriptor that holds the lock."""
    try:
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        for path in missing:
            segments.sync_directory(path.parent)
        fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UserError(
            f"{directory} cannot hold the log: {error.strerror}; make it one this user owns, or set data: to another"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(fd, 20).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise UserError(
            f"the log in {directory} is in use by process {holder}; stop it, or give this one another data directory"
        ) from error
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def _recover(directory: Path, stored: int) -> tuple[list[Segment], tuple[Damage, ...]]:
    """The segments that hold rows the store may not have, checked and mended; and what was damaged."""
    for leftover in directory.glob("*.new"):
        leftover.unlink()
    paths = sorted(directory.glob(f"{'[0-9]' * 20}{segments.SUFFIX}"))
    kept: list[Segment] = []
    damage: list[Damage] = []
    for path, following in zip_longest(paths, paths[1:]):
        if following is not None and segments.name_of(following) <= stored + 1:
            path.unlink()
            continue
        segment, found = segments.recover(path, newest=following is None)
        damage += found
        if segment is not None and (segment.last <= stored or segment.end == segment.start):
            path.unlink()  # an empty one has the name that the next one gets
        elif segment is not None:
            kept.append(segment)
    for one in damage:
        _logger.error("log.damaged", file=str(one.kept), offset=one.offset, bytes=one.size, detail=str(one))
    return kept, tuple(damage)


def _stored_text(position: int) -> bytes:
    text = f"otel-cx-log {segments.VERSION} {position}".encode()
    return text + b" %08x\n" % zlib.crc32(text)


def _read_stored(directory: Path) -> int:
    """The position in the file ``stored``; 0, so that all is sent again, when there is none or it was changed."""
    try:
        text = (directory / STORED).read_bytes()
    except FileNotFoundError:
        return 0
    words = text.split()
    if len(words) == 4 and words[2].isdigit() and text == _stored_text(int(words[2])):
        return int(words[2])
    _logger.error(
        "log.mark_unreadable", file=str(directory / STORED), detail="every row in the log is sent to the store again"
    )
    return 0
