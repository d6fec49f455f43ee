"""KeyValue and AnyValue, binary protobuf, to a key and a scalar. Lists, maps and bytes are recognised, never built."""

from struct import unpack_from
from typing import Final

from otel_cx_collector.decode.span import UNREADABLE, Scalar
from otel_cx_collector.decode.wire import fields, malformed, signed, tag_of, varint

_KEY: Final = tag_of(1)
_VALUE: Final = tag_of(2)
_STRING: Final = tag_of(1)
_BOOL: Final = tag_of(2, 0)
_INT: Final = tag_of(3, 0)
_DOUBLE: Final = tag_of(4, 1)
_NO_SCALAR: Final = frozenset({tag_of(5), tag_of(6), tag_of(7)})


def read_text(buf: bytes, start: int, stop: int, chars: int) -> str:
    """At most ``chars`` characters of the UTF-8 in ``buf[start:stop]``, what is not UTF-8 replaced."""
    return buf[start : min(stop, start + 4 * chars)].decode("utf-8", "replace")[:chars]


def read_value(buf: bytes, start: int, stop: int, chars: int) -> Scalar | None:
    """The scalar of one AnyValue; None when it is empty, UNREADABLE when it is a list, a map or bytes."""
    value: Scalar | None = None
    for tag, content, end in fields(buf, start, stop):
        if tag == _STRING:
            value = read_text(buf, content, end, chars) or None
        elif tag == _BOOL:
            value = varint(buf, content)[0] != 0
        elif tag == _INT:
            value = signed(varint(buf, content)[0])
        elif tag == _DOUBLE:
            value = float(unpack_from("<d", buf, content)[0])
        elif tag in _NO_SCALAR:
            value = UNREADABLE
        elif tag >> 3 <= 7:
            raise malformed(f"field {tag >> 3} of an AnyValue has wire type {tag & 7}")
    return value


def read_pair(buf: bytes, start: int, stop: int, chars: int) -> tuple[bytes, Scalar | None]:
    """Key and scalar of one KeyValue, its fields in any order. Of several keys the first counts, of values the last."""
    key = b""
    value: Scalar | None = None
    for tag, content, end in fields(buf, start, stop):
        if tag == _KEY:
            key = key or buf[content:end]
        elif tag == _VALUE:
            value = read_value(buf, content, end, chars)
        elif tag >> 3 <= 2:
            raise malformed(f"field {tag >> 3} of a KeyValue has wire type {tag & 7}")
    return key, value
