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


def read_text(raw: bytes, chars: int) -> str:
    """At most ``chars`` characters of UTF-8; what is not UTF-8 is replaced, lest one bad letter cost the neighbours."""
    return raw[: 4 * chars].decode("utf-8", "replace")[:chars]


def read_value(value: bytes, chars: int) -> Scalar | None:
    """The scalar of one AnyValue; None when it is empty, UNREADABLE when it is a list, a map or bytes.

    Of several the last counts, as in any protobuf decoder. Raises BadRequest, IndexError when truncated.
    """
    if value and value[0] == _INT:
        number, stop = varint(value, 1)
        if stop == len(value):
            return signed(number)
    scalar: Scalar | None = None
    for tag, start, stop in fields(value, 0, len(value)):
        if tag == _STRING:
            scalar = read_text(value[start:stop], chars) or None
        elif tag == _BOOL:
            scalar = varint(value, start)[0] != 0
        elif tag == _INT:
            scalar = signed(varint(value, start)[0])
        elif tag == _DOUBLE:
            scalar = float(unpack_from("<d", value, start)[0])
        elif tag in _NO_SCALAR:
            scalar = UNREADABLE
        elif tag >> 3 <= 7:
            raise malformed(f"field {tag >> 3} of an AnyValue has wire type {tag & 7}")
    return scalar


def split_pair(pair: bytes) -> tuple[bytes, bytes]:
    """Key and AnyValue of one KeyValue, in any order. Of several keys the first counts, of values the last."""
    key = value = b""
    for tag, start, stop in fields(pair, 0, len(pair)):
        if tag == _KEY:
            key = key or pair[start:stop]
        elif tag == _VALUE:
            value = pair[start:stop]
        elif tag >> 3 <= 2:
            raise malformed(f"field {tag >> 3} of a KeyValue has wire type {tag & 7}")
    return key, value
