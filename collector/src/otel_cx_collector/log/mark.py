"""The file that says how far the store has come. Not when it is written."""

import zlib
from pathlib import Path
from typing import Final

import structlog

from otel_cx_collector.log.disk import Disk
from otel_cx_collector.log.segment import write_durably

STORED: Final = "stored"

_logger = structlog.get_logger(__name__)


def write_mark(disk: Disk, directory: Path, position: int) -> None:
    """Remember durably that the store has all up to ``position``. OSError when the disk will not take it."""
    write_durably(disk, directory / STORED, _text(position))


def _text(position: int) -> bytes:
    text = f"otel-cx-log 1 {position}".encode()
    return text + b" %08x\n" % zlib.crc32(text)


def read_mark(disk: Disk, directory: Path) -> int:
    """The position in the file ``stored``; 0, so that all is sent again, when there is none or it was changed."""
    try:
        with disk.reader(directory / STORED) as file:
            text = file.read()
    except FileNotFoundError:
        return 0
    words = text.split()
    if len(words) == 4 and words[2].isdigit() and text == _text(int(words[2])):
        return int(words[2])
    _logger.error(
        "log.mark_unreadable", file=str(directory / STORED), detail="every row in the log is sent to the store again"
    )
    return 0
