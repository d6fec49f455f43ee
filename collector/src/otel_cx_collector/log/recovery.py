"""What is made of the files that a log finds when it is opened: every record checked, tails mended, damage set aside.

Not who writes. Two things look alike on the disk: what a crash kept from being written, and what was written and is not
there any more. They are told apart by the promises in later records: each says up to which batch all were durable when
it was written.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Final

import pyarrow as pa
import structlog

from otel_cx_collector.errors import UserError
from otel_cx_collector.log import segment as segments
from otel_cx_collector.log.disk import Bytes, Disk, Mapped
from otel_cx_collector.log.segment import BATCH, FORMAT, MARK, SCHEMA, SUFFIX, Format, Record, Segment

NEW: Final = ".new"

_logger = structlog.get_logger(__name__)


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


@dataclass(frozen=True, slots=True)
class Broken:
    """A range of a segment that is no whole record."""

    at: int
    to: int
    after: int
    """Sequence of the last batch before it."""
    following: Record | None
    """The whole record it ends at; None when it reaches to the end."""
    complete: bool
    """A record's head is whole and so long as it says: only what is in it is wrong."""


@dataclass(slots=True)
class Survey:
    """What a check of every byte of a segment found."""

    path: Path
    format: Format
    start: int
    size: int
    last: int
    """Sequence of the last whole batch; one below the name while there is none."""
    head_broken: bool = False
    whole: list[tuple[int, int]] = field(default_factory=list)
    """Ranges of whole records, joined where they touch."""
    broken: list[Broken] = field(default_factory=list)
    schemas: dict[int, pa.Schema] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    """Schemas that batches have."""
    first_durable: int | None = None
    """What the first whole record promised."""
    durable: int = 0
    """What the last one did."""
    fresh: int = 0
    """Where the records begin that promise this: no later one in the segment vouches for them."""

    @property
    def is_rewritten(self) -> bool:
        """Whether mending it makes a new file: it does not begin as it should, or breaks off in the middle."""
        rescued = self.used - self.schemas.keys()
        return bool(self.head_broken or rescued or any(it.following for it in self.broken))

    def take(self, record: Record, at: int, data: Mapped) -> None:
        """Remember a whole record."""
        if self.whole and self.whole[-1][1] == at:
            self.whole[-1] = (self.whole[-1][0], record.end)
        else:
            self.whole.append((at, record.end))
        if self.first_durable is None:
            self.first_durable = record.durable
        if self.whole[0][0] == at or record.durable > self.durable:
            self.durable, self.fresh = record.durable, at
        if record.kind == BATCH:
            self.last = record.sequence
            self.used.add(record.schema)
        elif record.kind == SCHEMA:
            self.schemas[record.schema] = pa.ipc.read_schema(pa.py_buffer(data[record.body : record.end]))


def recover(disk: Disk, directory: Path, stored: int) -> tuple[list[Segment], tuple[Damage, ...]]:
    """The segments that hold batches above ``stored``, checked and mended; and what was damaged.

    Raises UserError for a log that a later version wrote.
    """
    surveys = list(_surveys(disk, directory, stored))
    schemas = {crc: schema for survey in surveys for crc, schema in survey.schemas.items()}
    for at, survey in enumerate(surveys):
        if unknown := survey.used - schemas.keys():
            surveys[at] = check(disk, survey.path, frozenset(unknown))
    kept: list[Segment] = []
    damage: list[Damage] = []
    for at, survey in enumerate(surveys):
        promised = next((it.first_durable for it in surveys[at + 1 :] if it.first_durable is not None), 0)
        damage += _mend(disk, survey, schemas, [it for it in survey.broken if _proven(it, survey, promised)])
        if survey.last > promised:
            _settle(disk, survey)
        segment = _segment(survey, schemas)
        if segment is not None and survey.used and segment.last > stored:
            kept.append(segment)
        elif segment is not None:
            disk.unlink(survey.path)  # an empty one has the name that the next one gets
    for one in damage:
        _logger.error("log.damaged", file=str(one.kept), offset=one.offset, bytes=one.size, detail=str(one))
    return kept, tuple(damage)


def _surveys(disk: Disk, directory: Path, stored: int) -> Iterator[Survey]:
    names = disk.names(directory)
    for name in names:
        if name.endswith(NEW):
            disk.unlink(directory / name)
    wanted = sorted(name for name in names if len(name) == 20 + len(SUFFIX) and name.endswith(SUFFIX))
    paths = [directory / name for name in wanted if name[:20].isdigit()]
    for path, following in zip_longest(paths, paths[1:]):
        if following is not None and segments.name_of(following) <= stored + 1:
            disk.unlink(path)
        else:
            yield check(disk, path)


def check(disk: Disk, path: Path, unreadable: frozenset[int] = frozenset()) -> Survey:
    """Look at every byte of a segment; batches of the schemas ``unreadable`` count as broken.

    Memory: pages of one file, which the kernel takes back, and a few numbers for each break.
    """
    with disk.mapped(path) as data:
        found = _begin(path, data)
        at = found.start
        while at < len(data):
            record = _whole(data, at, found, unreadable)
            if record is None:
                following = _next_whole(data, at + 1, found, unreadable)
                to = len(data) if following is None else following
                after = None if following is None else _whole(data, to, found, unreadable)
                found.broken.append(Broken(at, to, found.last, after, complete=_complete(data, at, found)))
                at = to
            else:
                found.take(record, at, data)
                at = record.end
        return found


def _begin(path: Path, data: Mapped) -> Survey:
    """Read a segment's head. One that cannot be read is taken for one of this version, whose records tell all."""
    last = segments.name_of(path) - 1
    head = segments.SEGMENT_HEAD
    if len(data) >= head.size:
        magic, version, length, crc = head.unpack_from(data)
        if magic == segments.MAGIC and version > segments.VERSION:
            raise UserError(
                f"{path}: this log is of format {version}, and this version of the collector knows up to "
                f"{segments.VERSION}; run the version that wrote it, or a later one"
            )
        encoded = data[head.size : head.size + length]
        if magic == segments.MAGIC and version == 1 and len(encoded) == length and zlib.crc32(encoded) == crc:
            schemas = {crc: pa.ipc.read_schema(pa.py_buffer(encoded))}
            return Survey(path, segments.format_1(crc), head.size + length, len(data), last, schemas=schemas)
        if data[: head.size] == segments.segment_head():
            return Survey(path, FORMAT, head.size, len(data), last)
    return Survey(path, FORMAT, min(head.size, len(data)), len(data), last, head_broken=True)


def _whole(data: Mapped, at: int, found: Survey, unreadable: frozenset[int]) -> Record | None:
    form = found.format
    record = form.record(data[at : at + form.head_bytes], at)
    if record is None or record.end > len(data) or record.sequence < found.last + (record.kind != MARK):
        return None
    if record.kind == BATCH and record.schema in unreadable:
        return None
    with memoryview(data) as view, view[record.body : record.end] as body:
        return record if zlib.crc32(body) == record.crc else None


def _next_whole(data: Mapped, at: int, found: Survey, unreadable: frozenset[int]) -> int | None:
    at = data.find(found.format.magic, at)
    while at >= 0 and _whole(data, at, found, unreadable) is None:
        at = data.find(found.format.magic, at + 1)
    return at if at >= 0 else None


def _complete(data: Mapped, at: int, found: Survey) -> bool:
    record = found.format.record(data[at : at + found.format.head_bytes], at)
    return record is not None and record.end <= len(data)


def _proven(broken: Broken, survey: Survey, promised: int) -> bool:
    """Whether a batch that was acknowledged is missing in ``broken``; else it is a write that a crash cut off.

    ``promised`` is what the first record after this segment says was durable then.
    """
    if survey.head_broken:
        return True
    if broken.following is not None:
        vouched = max(survey.durable, promised)
        return broken.following.durable > broken.after or vouched >= broken.following.sequence
    return promised > broken.after or (survey.format.version == 1 and broken.complete)


def _mend(disk: Disk, survey: Survey, schemas: dict[int, pa.Schema], proven: list[Broken]) -> list[Damage]:
    """Leave nothing but whole records in a segment; keep a copy of it when something is missing."""
    path = survey.path
    if survey.head_broken and not survey.whole:
        aside = _aside(path, 0)
        disk.rename(path, aside)
        disk.sync_directory(path.parent)
        return [Damage(aside, 0, survey.size)]
    damaged = [(it.at, it.to) for it in proven]
    if survey.head_broken:
        damaged.insert(0, (0, survey.start))
    if damaged or survey.is_rewritten:
        with disk.mapped(path) as data, memoryview(data) as view:
            if damaged:
                segments.write_durably(disk, _aside(path, damaged[0][0]), view)
            if survey.is_rewritten:
                segments.write_durably(disk, path, *_rewritten(survey, view, schemas))
    if survey.broken and not survey.is_rewritten:
        _cut(disk, path, survey.broken[0].at)
    return [Damage(_aside(path, damaged[0][0]), at, to - at) for at, to in damaged]


def _rewritten(survey: Survey, view: memoryview, schemas: dict[int, pa.Schema]) -> Iterator[Bytes]:
    yield view[: survey.start] if survey.format.version == 1 else segments.segment_head()
    for crc in sorted(survey.used - survey.schemas.keys()):
        yield segments.schema_record(schemas[crc], segments.name_of(survey.path), 0)
    for at, to in survey.whole:
        yield view[at:to]


def _segment(survey: Survey, schemas: dict[int, pa.Schema]) -> Segment | None:
    """The segment as it is after mending; None when nothing of it could be used."""
    if survey.head_broken and not survey.whole:
        return None
    own = {crc: schemas[crc] for crc in survey.schemas.keys() | survey.used}
    extra = [segments.schema_record(schemas[crc], 1, 0) for crc in survey.used - survey.schemas.keys()]
    end = survey.start + sum(map(len, extra)) + sum(to - at for at, to in survey.whole)
    return Segment(survey.path, survey.start, end, survey.last, survey.format, own)


def _aside(path: Path, offset: int) -> Path:
    return path.with_name(f"{path.name}.{offset}.damaged")


def _cut(disk: Disk, path: Path, end: int) -> None:
    fd = disk.open(path)
    try:
        disk.truncate(fd, end)
    finally:
        disk.close(fd)


def _settle(disk: Disk, survey: Survey) -> None:
    """Make durable what no later record vouches for, since from here on it counts as there.

    A killed process may have left it in the kernel's memory alone, and where a sync failed the kernel takes pages for
    clean that never reached the disk: so they are written again, as they are, and synced.
    """
    if not survey.whole or survey.is_rewritten:
        return
    end = survey.whole[-1][1]
    with disk.mapped(survey.path) as data:
        fresh = data[survey.fresh : end]
    fd = disk.open(survey.path)
    try:
        disk.write(fd, [fresh], survey.fresh)
        disk.sync(fd)
    finally:
        disk.close(fd)
