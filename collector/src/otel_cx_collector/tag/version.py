"""Which of several copies of one execution survives: a number that the store compares. Not the choice itself."""

from collections.abc import Sequence
from typing import Any, Final
from zlib import crc32

from otel_cx_collector.events import MINUTE_S, NS, StepRow

_MINUTE_NS: Final = MINUTE_S * NS
_FIRST: Final = StepRow._fields.index("trace_id")
_END: Final = StepRow._fields.index("end")
_OWN: Final = StepRow._fields.index("own")
_EXACT: Final = StepRow._fields.index("exact")
_END_BITS: Final = 36
_TIE_BITS: Final = 27
_TIES: Final = (1 << _TIE_BITS) - 1


def row_version(row: Sequence[Any]) -> int:
    """Version of a row, 64 bits; the highest of the same (attempt, minute, span id) stays, whatever came first.

    From the top: 1 bit, an exact copy wins over a sampled one; 36 bits, the earliest end wins (``60e9 - end`` within
    the minute); 27 bits, the smallest checksum (CRC-32, its upper bits) of the row's bytes wins (wire.md, Duplicates).
    ``row`` is a StepRow, or its fields but the version.
    """
    earliness = _MINUTE_NS - int(row[_END]) % _MINUTE_NS
    tie = _TIES - (crc32(row_bytes(row)) >> (32 - _TIE_BITS))
    return int(row[_EXACT]) << (_END_BITS + _TIE_BITS) | earliness << _TIE_BITS | tie


def row_bytes(row: Sequence[Any]) -> bytes:
    """The content in which copies of one execution with the same end may differ, as bytes.

    The fields from the trace id to the weight but for the end, in their order, as UTF-8 text with 0x1F between them:
    the id in hexadecimal, numbers in decimal, true and false as 1 and 0, maps as their keys and values with 0x1E
    between them, sorted by key. No field can hold these two.
    """
    trace_id, _, duration_ns, step, outcome, recoverable, *texts = row[_FIRST:_OWN]
    own, service, service_version, flags, amount, currency, weight = row[_OWN:_EXACT]
    parts = (
        *(trace_id.hex(), str(duration_ns), step, outcome, "1" if recoverable else "0"),
        *texts,
        *(_map(own), service, service_version, _map(flags), amount, currency, str(weight)),
    )
    return "\x1f".join(parts).encode()


def _map(pairs: dict[str, str]) -> str:
    return "\x1e".join(part for pair in sorted(pairs.items()) for part in pair) if pairs else ""
