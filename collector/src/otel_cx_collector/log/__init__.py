"""Acknowledged means durable: an append-only log of row batches, one ``fdatasync`` for all who wait. Not the store.

A log is a directory that one process uses at a time. It holds segments of checksummed records, each an Arrow record
batch; docs/reference/log-format.md has the bytes. ``disk`` is all that is asked of the file system, ``segment`` one
file, ``recovery`` what is made of what a crash or a bad disk left, ``log`` the writer, ``pace`` how long there is
room, ``erasure`` takes somebody's rows out.
"""

from otel_cx_collector.config import LogLimits
from otel_cx_collector.log.log import Log, erase
from otel_cx_collector.log.recovery import Damage
from otel_cx_collector.log.segment import LogDamaged
from otel_cx_collector.log.waiting import BatchTooLarge

__all__ = ["BatchTooLarge", "Damage", "Log", "LogDamaged", "LogLimits", "erase"]
