"""What the log asks of a file system, a handful of calls, and the real one. Not what is written, nor when."""

import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from otel_cx_collector.errors import UserError

LOCK: Final = "lock"
PARTS_AT_ONCE: Final = 512
"""Buffers handed to one ``pwritev``; Linux takes 1024."""

Bytes = bytes | memoryview
Mapped = mmap.mmap | bytes


class Disk(Protocol):
    """Every call of the log that a crash can come before, after or into. All raise OSError when they fail.

    Written data is durable once ``sync`` has returned, a name once ``sync_directory`` has.
    """

    def claim(self, directory: Path) -> int:
        """Make the directory private and ours alone until ``close``. UserError when that cannot be."""

    def names(self, directory: Path) -> list[str]:
        """Names of the files in it, in no order."""

    def free_bytes(self, directory: Path) -> int:
        """Bytes that may still be written."""

    def create(self, path: Path) -> int:
        """Descriptor of a new private file, or of the old one emptied."""

    def open(self, path: Path) -> int:
        """Descriptor for writing to a file that is there."""

    def write(self, fd: int, parts: Sequence[Bytes], at: int) -> int:
        """Write from offset ``at`` on; return how many bytes were taken, fewer than given when the disk is full."""

    def sync(self, fd: int) -> None:
        """Make durable what was written, and the size it takes to read it."""

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file, durably."""

    def close(self, fd: int) -> None:
        """Let go of a descriptor."""

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name in the same directory, replacing what has it."""

    def unlink(self, path: Path) -> None:
        """Take a name away; nothing when it is gone already."""

    def sync_directory(self, directory: Path) -> None:
        """Make the names in it durable."""

    def reader(self, path: Path) -> BinaryIO:
        """The file from its beginning. FileNotFoundError when it is gone."""

    def mapped(self, path: Path) -> AbstractContextManager[Mapped]:
        """The whole file as bytes that are read when they are looked at."""


class RealDisk:
    """The operating system's files."""

    def claim(self, directory: Path) -> int:
        """Hold ``lock`` in it; its text is the process id."""
        fd = self._lock_file(directory)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(fd, 20).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise UserError(
                f"the log in {directory} is in use by process {holder}; stop it, or give this one another data "
                f"directory"
            ) from error
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        return fd

    def _lock_file(self, directory: Path) -> int:
        try:
            missing = [path for path in (directory, *directory.parents) if not path.exists()]
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
            for path in missing:
                self.sync_directory(path.parent)
            return os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UserError(
                f"{directory} cannot hold the log: {error.strerror}; make it one this user owns, or set data: to "
                f"another"
            ) from error

    def names(self, directory: Path) -> list[str]:
        """Of everything in it."""
        return [path.name for path in directory.iterdir()]

    def free_bytes(self, directory: Path) -> int:
        """To a process without privileges."""
        disk = os.statvfs(directory)
        return disk.f_bavail * disk.f_frsize

    def create(self, path: Path) -> int:
        """Of mode 0600."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def open(self, path: Path) -> int:
        """For writing only."""
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def write(self, fd: int, parts: Sequence[Bytes], at: int) -> int:
        """By as few ``pwritev`` as the number of parts allows; ends at the first that takes less than it was given."""
        done = 0
        for start in range(0, len(parts), PARTS_AT_ONCE):
            some = parts[start : start + PARTS_AT_ONCE]
            taken = os.pwritev(fd, some, at + done)
            done += taken
            if taken < sum(map(len, some)):
                break
        return done

    def sync(self, fd: int) -> None:
        """``fdatasync``."""
        os.fdatasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """``fsync``, since no standard says that ``fdatasync`` keeps a file short."""
        os.ftruncate(fd, size)
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Never twice."""
        os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Atomically."""
        old.replace(new)

    def unlink(self, path: Path) -> None:
        """A missing one is fine."""
        path.unlink(missing_ok=True)

    def sync_directory(self, directory: Path) -> None:
        """``fsync`` of the directory."""
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def reader(self, path: Path) -> BinaryIO:
        """Buffered by the megabyte."""
        return path.open("rb", buffering=1 << 20)

    @contextmanager
    def mapped(self, path: Path) -> Iterator[Mapped]:
        """Pages come and go as memory allows."""
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                yield b""
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                data.madvise(mmap.MADV_SEQUENTIAL)
                yield data
