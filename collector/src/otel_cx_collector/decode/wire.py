"""The protobuf wire format as far as hopping over fields needs it. Not OTLP: no message is known here but by its tags.

Offsets are absolute into one ``bytes``, so that nothing is copied. Reading past the end of the body raises IndexError,
which the entry points answer as truncated; reading past the end of a message inside it shows as a wrong end offset.
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from typing import Final

from otel_cx_collector.decode.errors import BadRequest

LENGTH_DELIMITED: Final = 2
_FIXED: Final = {1: 8, 5: 4}
_SIGN: Final = 1 << 63
_UINT64: Final = (1 << 64) - 1


def malformed(what: str) -> BadRequest:
    """The error for a body that is no protobuf message of its kind."""
    return BadRequest(
        f"body is malformed protobuf: {what}; send one OTLP Export...ServiceRequest, encoded as binary protobuf"
    )


def truncated() -> BadRequest:
    """The error for a length that points past the end of what holds it."""
    return malformed("a field ends after the message that holds it")


def varint(buf: bytes, pos: int) -> tuple[int, int]:
    """Value of the varint at ``pos``, unsigned 64 bit, and the offset after it."""
    value = shift = 0
    while True:
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UINT64, pos
        shift += 7
        if shift > 63:
            raise malformed(f"the varint before byte {pos} has more than 10 bytes")


def signed(value: int) -> int:
    """An int64 or enum from its unsigned 64-bit form."""
    return value - (1 << 64) if value & _SIGN else value


def _tag(buf: bytes, pos: int) -> tuple[int, int]:
    """The tag at ``pos`` and the offset after it.

    Groups are refused, OTLP has none; so are tags padded to more bytes than they need, which no encoder writes and
    which would have to be looked for wherever a tag is compared by its first byte.
    """
    tag, after = varint(buf, pos)
    if tag < 8 or tag & 7 not in (0, 1, 2, 5) or (tag < 0x80 and after > pos + 1):
        raise malformed(f"byte {pos} begins field {tag >> 3} of wire type {tag & 7} in {after - pos} bytes")
    return tag, after


def skip(buf: bytes, pos: int) -> int:
    """Offset after the field whose tag is at ``pos``. Groups are refused: OTLP has none."""
    tag, after = _tag(buf, pos)
    kind = tag & 7
    if kind == LENGTH_DELIMITED:
        size, after = varint(buf, after)
        return after + size
    if kind == 0:
        return varint(buf, after)[1]
    return after + _FIXED[kind]


def fields(buf: bytes, pos: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Each field of the message in ``buf[pos:end]``: tag, and the offsets its content begins and ends at.

    The content of a length-delimited field is without its length.
    """
    while pos < end:
        tag, content = _tag(buf, pos)
        if tag & 7 == LENGTH_DELIMITED:
            size, content = varint(buf, content)
            pos = content + size
        else:
            pos = skip(buf, pos)
        if pos > end:
            raise truncated()
        yield tag, content, pos


def tag_of(field: int, wire_type: int = LENGTH_DELIMITED) -> int:
    """The tag of a field number, as ``fields`` gives it."""
    return field << 3 | wire_type
