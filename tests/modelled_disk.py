"""A file system in memory that forgets what was not synced: the log's disk for tests that crash at every call.

What is written is seen at once, and is lost, kept or torn at a crash unless its file was synced. A name that was made,
moved or taken away is seen at once, and at a crash is what it is now or anything it was since the directory was synced.
Stricter than most real ones: neither writes nor names reach the disk in the order they were made.
"""

# ruff: noqa: ARG002 - there is one directory, whatever its name

import errno
import io
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from otel_cx_collector.log.disk import Bytes, Mapped

PAGE = 64
"""Small, so that a write of a few records spans several."""


class Crash(BaseException):
    """The process is dead; no call is made after this one."""


@dataclass
class Change:
    """A write of ``data`` at an offset, or a cut to that offset when there is none."""

    at: int
    data: bytes | None
    stuck: bool = False
    """A sync failed over it: it is seen, and no later sync makes it durable."""
    synced: bool = False
    """Durable, but kept in its place behind one that is stuck."""

    def apply(self, to: bytearray) -> None:
        """Do it."""
        if self.data is None:
            del to[self.at :]
        else:
            put(to, self.at, self.data)


def put(to: bytearray, at: int, data: bytes) -> None:
    """Write into ``to``, with zeros where it was too short."""
    to.extend(bytes(max(0, at - len(to))))
    to[at : at + len(data)] = data


@dataclass
class File:
    """What is durable, what was done since, and what a reader sees."""

    durable: bytes = b""
    changes: list[Change] = field(default_factory=list)
    seen: bytearray = field(default_factory=bytearray)

    def change(self, change: Change) -> None:
        """Seen at once, durable later."""
        self.changes.append(change)
        change.apply(self.seen)

    def sync(self) -> None:
        """All that is not stuck is durable."""
        for change in self.changes:
            change.synced = not change.stuck
        if all(change.synced for change in self.changes):
            self.durable, self.changes = bytes(self.seen), []

    def fail_sync(self) -> None:
        """The kernel has tried, and takes what it tried for clean."""
        for change in self.changes:
            change.stuck = not change.synced

    def after_power_cut(self, chance: random.Random) -> "File":
        """What a machine finds that starts again."""
        content = bytearray(self.durable)
        for change in self.changes:
            fate = "kept" if change.synced else chance.choice(["lost", "kept", "torn", "pages", "size"])
            if fate == "kept":
                change.apply(content)
            elif change.data and fate == "torn":
                put(content, change.at, change.data[: chance.randrange(len(change.data))])
            elif change.data and fate == "pages":
                for start in range(0, len(change.data), PAGE):
                    if chance.random() < 0.5:
                        put(content, change.at + start, change.data[start : start + PAGE])
            elif change.data and fate == "size":
                content.extend(bytes(max(0, change.at + len(change.data) - len(content))))
        return File(bytes(content), [], content)


class ModelledDisk:
    """One directory. Counts calls; crashes in the one it is told to, and fails those it is told to."""

    def __init__(self, capacity: int = 1 << 30) -> None:
        self.capacity = capacity
        self.calls = 0
        self.crash_at: int | None = None
        self.fail_at: range = range(0)
        self.errors: Sequence[int] = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
        self.dead = False
        self._names: dict[str, File] = {}
        self._past: list[dict[str, File]] = [{}]
        """The names at the last sync, and after each change since."""
        self._open: dict[int, File] = {}

    def restart(self, *, power_cut: bool, chance: random.Random) -> "ModelledDisk":
        """The disk as the next process finds it; without a power cut the kernel has forgotten nothing."""
        after = ModelledDisk(self.capacity)
        if not power_cut:
            after._names, after._past = self._names, self._past
            return after
        names = sorted({name for past in self._past for name in past})
        found = {name: chance.choice([past.get(name) for past in self._past]) for name in names}
        for name, file in found.items():
            if file is not None:
                after._names[name] = file.after_power_cut(chance)
        after._past = [dict(after._names)]
        return after

    def files(self) -> dict[str, bytes]:
        """All that is seen."""
        return {name: bytes(file.seen) for name, file in self._names.items()}

    def _call(self, *, fails: bool = True) -> bool:
        """Count a call; whether it is the last one of this process. Raises OSError when this one is to fail."""
        if self.dead:
            raise Crash
        self.calls += 1
        if fails and self.calls in self.fail_at:
            code = self.errors[self.calls % len(self.errors)]
            raise OSError(code, os.strerror(code))
        self.dead = self.calls == self.crash_at
        return self.dead

    def _change(self, file: File, change: Change, *, last: bool) -> None:
        file.change(change)
        if last:
            raise Crash

    def _renamed(self, *, last: bool) -> None:
        self._past.append(dict(self._names))
        if last:
            raise Crash

    def _file(self, path: Path) -> File:
        try:
            return self._names[path.name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None

    def _descriptor(self, file: File) -> int:
        fd = max(self._open, default=99) + 1
        self._open[fd] = file
        return fd

    def claim(self, directory: Path) -> int:
        """Nobody else is there."""
        return self._descriptor(File())

    def names(self, directory: Path) -> list[str]:
        """As they are seen."""
        if self._call():
            raise Crash
        return list(self._names)

    def free_bytes(self, directory: Path) -> int:
        """What is not taken by what is seen."""
        if self._call():
            raise Crash
        return self.capacity - sum(len(file.seen) for file in self._names.values())

    def create(self, path: Path) -> int:
        """A new name."""
        last = self._call()
        file = self._names.get(path.name)
        if file is None:
            file = self._names[path.name] = File()
            self._renamed(last=last)
        else:
            self._change(file, Change(0, None), last=last)
        return self._descriptor(file)

    def open(self, path: Path) -> int:
        """A descriptor."""
        if self._call():
            raise Crash
        return self._descriptor(self._file(path))

    def write(self, fd: int, parts: Sequence[Bytes], at: int) -> int:
        """As much as there is room for."""
        last = self._call()
        data, file = b"".join(parts), self._open[fd]
        room = self.capacity - sum(len(each.seen) for each in self._names.values()) + max(0, len(file.seen) - at)
        if room <= 0 < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._change(file, Change(at, data[:room]), last=last)
        return min(room, len(data))

    def sync(self, fd: int) -> None:
        """Durable, unless it fails."""
        try:
            last = self._call()
        except OSError:
            self._open[fd].fail_sync()
            raise
        if last:
            raise Crash
        self._open[fd].sync()

    def truncate(self, fd: int, size: int) -> None:
        """A cut and a sync, with room for a crash between."""
        self._change(self._open[fd], Change(size, None), last=self._call())
        self.sync(fd)

    def close(self, fd: int) -> None:
        """The descriptor is gone, whatever the kernel says of it."""
        if self._call(fails=False):
            raise Crash
        del self._open[fd]

    def rename(self, old: Path, new: Path) -> None:
        """Seen at once."""
        last = self._call()
        self._names[new.name] = self._file(old)
        del self._names[old.name]
        self._renamed(last=last)

    def unlink(self, path: Path) -> None:
        """Seen at once."""
        last = self._call()
        self._names.pop(path.name, None)
        self._renamed(last=last)

    def sync_directory(self, directory: Path) -> None:
        """The names are durable."""
        if self._call():
            raise Crash
        self._past = [dict(self._names)]

    def reader(self, path: Path) -> BinaryIO:
        """A copy of what is seen."""
        if self._call():
            raise Crash
        return io.BytesIO(bytes(self._file(path).seen))

    @contextmanager
    def mapped(self, path: Path) -> Iterator[Mapped]:
        """A copy of what is seen."""
        if self._call():
            raise Crash
        yield bytes(self._file(path).seen)
