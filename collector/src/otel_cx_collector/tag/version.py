"""Which of several copies of one execution survives: a number that the store compares. Not the choice itself."""

from typing import Any, Final
from zlib import crc32

from otel_cx_collector.events import MINUTE_S, NS, StepRow

_MINUTE_NS: Final = MINUTE_S * NS
_END_BITS: Final = 36
_TIE_BITS: Final = 27
_TIES: Final = (1 << _TIE_BITS) - 1
_FIELD: Final = "\x1f"
_PAIR: Final = "\x1e"
"""Stand between what is compared; no field can hold them."""


def row_version(row: StepRow) -> int:
    """Version of a row, 64 bits; the highest of the same (attempt, minute, span id) stays, whatever came first.

    From the top: 1 bit, an exact copy wins over a sampled one; 36 bits, the earliest end wins (``60e9 - end`` within
    the minute); 27 bits, the smallest checksum of the row's bytes wins (wire.md, Duplicates). A row's bytes are its
    fields in order but for the last, as UTF-8 text: numbers in decimal, ids in hexadecimal, true and false as 1 and 0.
    """
    earliness = _MINUTE_NS - row.end % _MINUTE_NS
    tie = _TIES - (crc32(_FIELD.join(map(_text, row[:-1])).encode()) >> (32 - _TIE_BITS))
    return row.exact << (_END_BITS + _TIE_BITS) | earliness << _TIE_BITS | tie


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return _PAIR.join(text for pair in sorted(value.items()) for text in pair)
    return f"{value:d}"
