"""How deep attribute values nest in protobuf: a walk with a stack of its own, so that no depth can exhaust ours.

Not a parser: it follows the fields that can hold values within values and hops over all others.
"""

from enum import Enum, auto
from typing import Final

from otel_cx_collector.decode.errors import BadRequest
from otel_cx_collector.decode.wire import fields, tag_of


class Message(Enum):
    """The messages through which values nest. The numbers of their fields are those of opentelemetry-proto."""

    RESOURCE = auto()
    SPAN = auto()
    EVENT = auto()
    LINK = auto()
    KEY_VALUE = auto()
    ANY_VALUE = auto()
    ARRAY = auto()
    KEY_VALUE_LIST = auto()


_INSIDE: Final = {
    Message.RESOURCE: {tag_of(1): Message.KEY_VALUE},
    Message.SPAN: {tag_of(9): Message.KEY_VALUE, tag_of(11): Message.EVENT, tag_of(13): Message.LINK},
    Message.EVENT: {tag_of(3): Message.KEY_VALUE},
    Message.LINK: {tag_of(4): Message.KEY_VALUE},
    Message.KEY_VALUE: {tag_of(2): Message.ANY_VALUE},
    Message.ANY_VALUE: {tag_of(5): Message.ARRAY, tag_of(6): Message.KEY_VALUE_LIST},
    Message.ARRAY: {tag_of(1): Message.ANY_VALUE},
    Message.KEY_VALUE_LIST: {tag_of(1): Message.KEY_VALUE},
}

LEVEL_BYTES: Final = 4
"""What each level of nested values takes at the least: a smaller value needs no look."""


def too_deep(nesting: int) -> BadRequest:
    """The error for values nested deeper than the limit."""
    return BadRequest(
        f"an attribute holds values nested more than {nesting} deep; send nested data as a JSON string or leave it out"
    )


def check(buf: bytes, pos: int, end: int, message: Message, nesting: int, budget: int) -> int:
    """Raise BadRequest when values in ``buf[pos:end]`` nest deeper than ``nesting``.

    Looks at ``budget`` fields at most, and returns how many it looked at. What is too small to hold the missing levels
    is passed over.
    """
    left = budget
    stack = [(pos, end, message, 0)]
    while stack:
        pos, end, message, depth = stack.pop()
        if message is Message.ANY_VALUE:
            depth += 1
            if depth > nesting:
                raise too_deep(nesting)
        inside = _INSIDE[message]
        harmless = (nesting - depth) * LEVEL_BYTES
        for tag, start, stop in fields(buf, pos, end):
            left -= 1
            if left <= 0:
                return budget
            if stop - start >= harmless and tag in inside:
                stack.append((start, stop, inside[tag], depth))
    return budget - left
