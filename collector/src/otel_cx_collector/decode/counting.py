"""Counts the messages at the end of a path of fields, without building any. Not what they mean."""

from collections.abc import Sequence
from typing import Any

from otel_cx_collector.decode.document import mapping, objects, parse
from otel_cx_collector.decode.errors import TooLarge
from otel_cx_collector.decode.limits import DecodeLimits
from otel_cx_collector.decode.wire import LENGTH_DELIMITED, fields, malformed, truncated


def count_protobuf(body: bytes, path: Sequence[tuple[int, ...]], limits: DecodeLimits) -> int:
    """Messages at the end of ``path``, the field numbers to follow at each level. Raises BadRequest or TooLarge."""
    visited = 0
    level = [(0, len(body))]
    try:
        for numbers in path:
            below = []
            for pos, end in level:
                for tag, start, stop in fields(body, pos, end):
                    visited += 1
                    if visited > limits.points:
                        raise _too_many(limits)
                    if tag >> 3 in numbers:
                        if tag & 7 != LENGTH_DELIMITED:
                            raise malformed(f"field {tag >> 3} has wire type {tag & 7}")
                        below.append((start, stop))
            level = below
    except IndexError:
        raise truncated() from None
    return len(level)


def count_json(body: bytes, path: Sequence[tuple[str, ...]], limits: DecodeLimits) -> int:
    """Objects at the end of ``path``, the keys to follow at each level. Raises BadRequest or TooLarge."""
    return count_document(parse(body, limits), path, limits)


def count_document(document: Any, path: Sequence[tuple[str, ...]], limits: DecodeLimits) -> int:
    """The same of a document that is parsed already.

    A key holds a list of objects; of a level with several, an object whose only list is the next level's.
    """
    level = [mapping(document, "request")]
    for keys in path:
        if len(keys) == 1:
            level = [item for parent in level for item in objects(parent, keys[0])]
        else:
            level = [mapping(parent[key], key) for parent in level for key in keys if parent.get(key) is not None]
    if len(level) > limits.points:
        raise _too_many(limits)
    return len(level)


def _too_many(limits: DecodeLimits) -> TooLarge:
    return TooLarge(f"request has more than {limits.points} data points or log records; send smaller batches")
