"""Which of several copies of one execution survives: a number that the store compares. Not the choice itself."""

from typing import Final
from zlib import crc32

from otel_cx_collector.events import MINUTE_S, NS, StepRow

_MINUTE_NS: Final = MINUTE_S * NS
_END_BITS: Final = 36
_TIE_BITS: Final = 27
_TIES: Final = (1 << _TIE_BITS) - 1


def row_version(row: StepRow) -> int:
    """Version of a row, 64 bits; the highest of the same (attempt, minute, span id) stays, whatever came first.

    From the top: 1 bit, an exact copy wins over a sampled one; 36 bits, the earliest end wins (``60e9 - end`` within
    the minute); 27 bits, the smallest checksum (CRC-32, its upper bits) of the row's bytes wins (wire.md, Duplicates).
    """
    earliness = _MINUTE_NS - row.end % _MINUTE_NS
    tie = _TIES - (crc32(row_bytes(row)) >> (32 - _TIE_BITS))
    return row.exact << (_END_BITS + _TIE_BITS) | earliness << _TIE_BITS | tie


def row_bytes(row: StepRow) -> bytes:
    """The content in which copies of one execution with the same end may differ, as bytes.

    The fields in their order, as UTF-8 text with 0x1F between them: numbers in decimal, ids in hexadecimal, maps as
    their keys and values with 0x1E between them, sorted by key. No field can hold these two characters.
    """
    own = "\x1e".join(part for pair in sorted(row.own.items()) for part in pair) if row.own else ""
    flags = "\x1e".join(part for pair in sorted(row.flags.items()) for part in pair) if row.flags else ""
    return (
        f"{row.trace_id.hex()}\x1f{row.duration_ns}\x1f{row.step}\x1f{row.outcome}\x1f{row.recoverable:d}"
        f"\x1f{row.error_class}\x1f{row.grade}\x1f{row.customer}\x1f{row.account}\x1f{row.session}"
        f"\x1f{row.segment}\x1f{row.plan}\x1f{row.region}\x1f{row.device}\x1f{row.workflow}\x1f{row.revenue_class}"
        f"\x1f{own}\x1f{row.service}\x1f{row.service_version}\x1f{flags}\x1f{row.amount}\x1f{row.currency}"
        f"\x1f{row.weight}"
    ).encode()
